/** The code for TLS of docs/clients/typescript.md, put together and run. */

import { readFileSync } from "node:fs";
import { createClient as createConnectClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { createClient } from "@modelway/client/grpc-js";
import { CallerService, GenerationService, Role } from "@modelway/client/v1";

const [, , address = "", folder = ""] = process.argv;
const [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map((name) => readFileSync(`${folder}/${name}`)) as [
  Buffer,
  Buffer,
  Buffer,
];
const request = { scenario: "general", messages: [{ role: Role.USER, text: "Hello" }] };

// tls
const credentials = grpc.credentials.createSsl(ca, key, certificate);
const client = createClient(GenerationService, address, credentials);

client.generate(request, new grpc.Metadata(), { deadline: Date.now() + 60_000 }, async (error, answer) => {
  console.log("finished:", error?.message ?? answer?.finishReason);

  // connect tls
  const nodeOptions = { ca, cert: certificate, key };
  const transport = createGrpcTransport({ baseUrl: `https://${address}`, nodeOptions });

  const overConnect = await createConnectClient(GenerationService, transport).generate(request, { timeoutMs: 60_000 });
  console.log("finished:", overConnect.finishReason);

  // who
  const bearer = new grpc.Metadata();
  bearer.set("authorization", `Bearer ${process.env.MODELWAY_API_KEY}`);
  const apiKey = grpc.credentials.createFromMetadataGenerator((_, done) => done(null, bearer));
  const callers = createClient(CallerService, address, grpc.credentials.combineChannelCredentials(credentials, apiKey));

  callers.whoAmI({}, new grpc.Metadata(), { deadline: Date.now() + 10_000 }, (error, me) => {
    console.log("caller:", error?.message ?? me?.caller);
    process.exit(0);
  });
});
