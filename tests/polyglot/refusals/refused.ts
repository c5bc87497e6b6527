/** Asks a scenario many times with grpc-js and a policy that retries whatever it may; prints a line for each call. */

import * as grpc from "@grpc/grpc-js";
import { failureOf } from "@modelway/client";
import { createClient } from "@modelway/client/grpc-js";
import { GenerationService, Role } from "@modelway/client/v1";

const [, , address = "", key = "", times = "0"] = process.argv;
const PATIENCE = 30_000;
const policy = {
  maxAttempts: 4,
  initialBackoff: "0.02s",
  maxBackoff: "0.1s",
  backoffMultiplier: 2,
  retryableStatusCodes: ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNAUTHENTICATED", "PERMISSION_DENIED", "FAILED_PRECONDITION"],
};
const config = { methodConfig: [{ name: [{ service: "modelway.v1.GenerationService" }], retryPolicy: policy }] };
const client = createClient(GenerationService, address, grpc.credentials.createInsecure(), {
  "grpc.service_config": JSON.stringify(config),
  "grpc.enable_retries": 1,
});
const asked = { scenario: "chat", messages: [{ role: Role.USER, text: "Hello" }] };
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${key}`);

/** OK, or the code and reason of a failure, and the limits that are reached. */
function outcome(error: unknown): string {
  if (!error) {
    return "OK";
  }
  const { reason, limits, callId } = failureOf(error);
  if (!callId) {
    throw new Error("every refusal names its call");
  }
  return [grpc.status[(error as grpc.ServiceError).code], reason, ...limits.map(({ limitId }) => limitId)].join(" ");
}

function unary(): Promise<string> {
  return new Promise((resolve) => {
    client.generate(asked, metadata, { deadline: Date.now() + PATIENCE }, (error: grpc.ServiceError | null) =>
      resolve(outcome(error)),
    );
  });
}

async function stream(): Promise<string> {
  try {
    for await (const _ of client.streamGenerate(asked, metadata, { deadline: Date.now() + PATIENCE })) {
      // Only its end is told.
    }
    return outcome(null);
  } catch (error) {
    return outcome(error);
  }
}

for (let number = 0; number < Number(times); number++) {
  console.log(await (number % 2 === 0 ? unary() : stream()));
}
client.close();
