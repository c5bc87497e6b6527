/** Clients of `@grpc/grpc-js` over the same messages that Connect uses. */

import { readFileSync } from "node:fs";
import {
  create,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

/** A method that answers with one message: the arguments are those of grpc-js. */
export interface UnaryMethod<I extends DescMessage, O extends DescMessage> {
  (request: MessageInitShape<I>, callback: grpc.requestCallback<MessageShape<O>>): grpc.ClientUnaryCall;
  (
    request: MessageInitShape<I>,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<MessageShape<O>>,
  ): grpc.ClientUnaryCall;
}

/** A method that answers with a stream of messages: the arguments are those of grpc-js, and `for await` is typed. */
export type StreamMethod<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  metadata?: grpc.Metadata,
  options?: grpc.CallOptions,
) => AsyncIterable<MessageShape<O>> & grpc.ClientReadableStream<MessageShape<O>>;

type Method<M> = M extends { methodKind: "unary"; input: infer I extends DescMessage; output: infer O extends DescMessage }
  ? UnaryMethod<I, O>
  : M extends { methodKind: "server_streaming"; input: infer I extends DescMessage; output: infer O extends DescMessage }
    ? StreamMethod<I, O>
    : never;

/** A client of a service, with a function for each of its methods. */
export type Client<S extends DescService> = grpc.Client & { [K in keyof S["method"]]: Method<S["method"][K]> };

/**
 * How gRPC should treat calls: spread over all addresses, retried only where nothing was sent; and the largest message
 * that is read, since answers with pictures are larger than the 4 MiB that clients read by default.
 */
export const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  "grpc.service_config": readFileSync(new URL("../service_config.json", import.meta.url), "utf8"),
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
};

/** A client of a service at an address. Options add to `CHANNEL_OPTIONS`. */
export function createClient<S extends DescService>(
  service: S,
  address: string,
  credentials: grpc.ChannelCredentials,
  options: grpc.ChannelOptions = {},
): Client<S> {
  const definition: Record<string, grpc.MethodDefinition<MessageInitShape<DescMessage>, MessageShape<DescMessage>>> = {};
  for (const method of service.methods) {
    definition[method.localName] = {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
      responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
      requestSerialize: (request: MessageInitShape<DescMessage>) =>
        Buffer.from(toBinary(method.input, create(method.input, request))),
      // A definition serves servers, too.
      requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
      responseSerialize: (response: MessageShape<DescMessage>) => Buffer.from(toBinary(method.output, response)),
      responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
    };
  }
  const Constructor = grpc.makeClientConstructor(definition, service.typeName);
  return new Constructor(address, credentials, { ...CHANNEL_OPTIONS, ...options }) as unknown as Client<S>;
}
