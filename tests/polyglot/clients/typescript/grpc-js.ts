/** Plays every case over `@grpc/grpc-js`. */

import * as grpc from "@grpc/grpc-js";
import { createClient } from "@modelway/client/grpc-js";
import { GenerationService, type GenerateResponse } from "@modelway/client/v1";
import { type Options, play } from "./cases.js";
import { Health, type HealthCheckResponse, HealthCheckResponse_ServingStatus } from "./gen/health_pb.js";

const [, , address = ""] = process.argv;
const client = createClient(GenerationService, address, grpc.credentials.createInsecure());
const health = createClient(Health, address, grpc.credentials.createInsecure());

function deadline({ timeoutMs }: Options): grpc.CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function isStatus(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}

function code(error: unknown): string {
  return isStatus(error) ? (grpc.status[error.code] ?? "") : String(error);
}

await play({
  generate: (request, options) =>
    new Promise((resolve, reject) => {
      const answered = (error: grpc.ServiceError | null, answer?: GenerateResponse) =>
        answer ? resolve(answer) : reject(error);
      client.generate(request, new grpc.Metadata(), deadline(options), answered);
    }),
  stream: (request, options) => {
    const call = client.streamGenerate(request, new grpc.Metadata(), deadline(options));
    options.signal?.addEventListener("abort", () => call.cancel());
    return call;
  },
  health: (service) =>
    new Promise((resolve) => {
      health.check({ service }, (error: grpc.ServiceError | null, answer?: HealthCheckResponse) =>
        resolve(answer ? (HealthCheckResponse_ServingStatus[answer.status] ?? "") : code(error)),
      );
    }),
  code,
  trailer: (error, name) => (isStatus(error) ? String(error.metadata.get(name)[0] ?? "") : ""),
});
client.close();
health.close();
