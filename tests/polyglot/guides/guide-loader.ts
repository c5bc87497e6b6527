/** The code for proto-loader of docs/clients/typescript.md, put together and run. */

// loader
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [, , address = "", proto = "proto"] = process.argv;
const definition = loadSync("modelway/v1/generation_service.proto", {
  includeDirs: [proto],
  longs: String,
  enums: String,
  oneofs: true,
});
const { modelway } = grpc.loadPackageDefinition(definition) as any;
const client = new modelway.v1.GenerationService(address, grpc.credentials.createInsecure());
const messages = [{ role: "ROLE_USER", text: "Why is the sky blue?" }];

client.generate(
  { scenario: "general", messages },
  { deadline: Date.now() + 60_000 },
  (error: grpc.ServiceError | null, answer: any) => {
    console.log(error?.details ?? [answer.finishReason, answer.cost.amountNanos, answer.output.parts[0].part].join(" "));
    client.close();
  },
);
