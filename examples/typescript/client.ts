/**
 * Asks Modelway for an answer and prints it as it comes. Start the server with `cargo run`, then:
 *
 *     (cd clients/typescript && npm ci && npm pack)
 *     cd examples/typescript && npm install && npm run build
 *     node client.js general "Why is the sky blue?"
 */

import * as grpc from "@grpc/grpc-js";
import { failureOf } from "@modelway/client";
import { createClient } from "@modelway/client/grpc-js";
import { GenerationService, Role } from "@modelway/client/v1";

const [scenario = "", prompt = ""] = process.argv.slice(2);
const address = process.env.MODELWAY_ADDRESS ?? "127.0.0.1:50051";
const client = createClient(GenerationService, address, grpc.credentials.createInsecure());

const request = { scenario, messages: [{ role: Role.USER, text: prompt }] };
const options = { deadline: Date.now() + 60_000 };
try {
  for await (const { event } of client.streamGenerate(request, new grpc.Metadata(), options)) {
    if (event.case === "textDelta") {
      process.stdout.write(event.value.text);
    } else if (event.case === "completed" && event.value.response) {
      const { provider, model, attempts } = event.value.response;
      console.log(`\n\n${provider}/${model}, attempts: ${attempts.length}`);
    }
  }
} catch (error) {
  const { code, details } = error as grpc.ServiceError;
  const { reason, callId } = failureOf(error);
  if (reason) {
    console.error(`reason: ${reason}, call: ${callId}`);
  }
  console.error(`${grpc.status[code]}: ${details}`);
  process.exitCode = 1;
}
client.close();
