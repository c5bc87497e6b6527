/** The code of docs/clients/typescript.md, put together and run. */

import { setTimeout as wait } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { failureOf } from "@modelway/client";
import { createClient } from "@modelway/client/grpc-js";
import {
  CallerService,
  FinishReason,
  type GenerateRequest,
  GenerateRequestSchema,
  type GenerateResponse,
  GenerationService,
  Role,
  type WhoAmIResponse,
} from "@modelway/client/v1";

const [, , address = ""] = process.argv;

// channel
const client = createClient(GenerationService, address, grpc.credentials.createInsecure());

// deadline
const question = { role: Role.USER, text: "Why is the sky blue?" };
const request = create(GenerateRequestSchema, { scenario: "general", messages: [question] });

function generate(request: GenerateRequest, milliseconds: number): Promise<GenerateResponse> {
  const options = { deadline: Date.now() + milliseconds };
  return new Promise((resolve, reject) => {
    client.generate(request, new grpc.Metadata(), options, (error, answer) =>
      answer ? resolve(answer) : reject(error),
    );
  });
}

let answer = await generate(request, 60_000);
let text = (answer.output?.parts ?? []).map(({ part }) => (part.case === "text" ? part.value : "")).join("");

console.log(`answer: ${text.split(/\s+/).filter(Boolean).length} words`);

// stream
text = "";
const events = client.streamGenerate(request, new grpc.Metadata(), { deadline: Date.now() + 60_000 });
for await (const { event } of events) {
  switch (event.case) {
    case "textDelta":
      text += event.value.text;
      break;
    case "outputReset":
      text = "";
      break;
    case "completed":
      answer = event.value.response ?? answer;
      break;
    // Everything else is skipped, also undefined: an event that is newer than this package.
  }
}

console.log(`stream: ${text.split(/\s+/).filter(Boolean).length} words, ${answer.provider}`);

// cancel
const call = client.streamGenerate(request, new grpc.Metadata(), { deadline: Date.now() + 60_000 });
try {
  for await (const { event } of call) {
    if (event.case === "textDelta") {
      call.cancel();
    }
  }
} catch (error) {
  if ((error as grpc.ServiceError).code !== grpc.status.CANCELLED) {
    throw error;
  }
  console.log("cancelled: CANCELLED");
}

// details
const failing = create(GenerateRequestSchema, { model: "sim-openai/failing", messages: [question] });
try {
  await generate(failing, 60_000);
} catch (error) {
  const { code } = error as grpc.ServiceError;
  const failure = failureOf(error);
  console.log("failed:", grpc.status[code], failure.reason, `after ${failure.attempts.length} attempts`);
}

// retry
/** Asks again when Modelway says that waiting helps, within one deadline. */
async function generatePatiently(request: GenerateRequest, milliseconds: number): Promise<GenerateResponse> {
  const end = Date.now() + milliseconds;
  for (;;) {
    try {
      return await generate(request, end - Date.now());
    } catch (error) {
      const delay = failureOf(error).retryDelayMs;
      if (delay === undefined || Date.now() + delay >= end) {
        throw error;
      }
      await wait(delay);
      // The failure is remembered under the old key.
      request.idempotencyKey = "";
    }
  }
}

answer = await generatePatiently(request, 60_000);

// key
request.idempotencyKey = "order-4711-summary";
const first = await generate(request, 60_000);
const again = await generate(request, 60_000);

console.log(`replayed: ${again.replayed}, the same call: ${first.callId === again.callId}`);

// turn
const next = create(GenerateRequestSchema, {
  scenario: "general",
  messages: [question, ...(first.output ? [first.output] : []), { role: Role.USER, text: "And at sunset?" }],
});
answer = await generate(next, 60_000);

console.log(`next turn: ${answer.usage?.inputTokens} input tokens`);

// who
const bearer = new grpc.Metadata();
bearer.set("authorization", `Bearer ${process.env.MODELWAY_API_KEY}`);
const callers = createClient(CallerService, address, grpc.credentials.createInsecure());
const me = await new Promise<WhoAmIResponse>((resolve, reject) => {
  callers.whoAmI({}, bearer, { deadline: Date.now() + 10_000 }, (error, me) => (me ? resolve(me) : reject(error)));
});

console.log("caller:", me.caller);
callers.close();

// shapes
const source = { case: "data" as const, value: new Uint8Array([0x89, 0x50, 0x4e, 0x47]) };
const picture = create(GenerateRequestSchema, {
  scenario: "general",
  messages: [
    {
      role: Role.USER,
      parts: [
        { part: { case: "text", value: "What is it?" } },
        { part: { case: "image", value: { source, mediaType: "image/png" } } },
      ],
    },
  ],
  sampling: { temperature: 0 },
});
const temperatureIsSet = picture.sampling?.temperature !== undefined;
const topPIsSet = picture.sampling?.topP !== undefined;
answer = await generate(picture, 60_000);
const usd = Number(answer.cost?.amountNanos ?? 0n) / 1e9;
const why = FinishReason[answer.finishReason] ?? "UNSPECIFIED";

console.log(`shapes: ${temperatureIsSet} ${topPIsSet} FINISH_REASON_${why} ${usd.toFixed(9)}`);
client.close();
