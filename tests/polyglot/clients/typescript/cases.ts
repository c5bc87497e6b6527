/** Every case that the clients play, whatever library makes the calls; prints a line for each. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Failure, failureOf } from "@modelway/client";
import {
  type Attempt,
  AttemptKind,
  AttemptOutcome,
  FinishReason,
  type GenerateRequestSchema,
  type GenerateResponse,
  MessageSchema,
  Role,
  type StreamGenerateResponse,
  ToolChoiceMode,
} from "@modelway/client/v1";

export type Request = MessageInitShape<typeof GenerateRequestSchema>;

export interface Options {
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A library, with its own names for codes and its own place for metadata. */
export interface Library {
  generate(request: Request, options: Options): Promise<GenerateResponse>;
  stream(request: Request, options: Options): AsyncIterable<StreamGenerateResponse>;
  /** The status of a service by name, or the code of the failure. */
  health(service: string): Promise<string>;
  code(error: unknown): string;
  trailer(error: unknown, name: string): string;
}

const SCHEMA = JSON.stringify({
  type: "object",
  properties: { answer: { type: "string" } },
  required: ["answer"],
  additionalProperties: false,
});
const PATIENCE = { timeoutMs: 30_000 };
const HELLO = { role: Role.USER, text: "Hello" };

function request(scenario: string, fields: Request = {}): Request {
  return { scenario, messages: [HELLO], ...fields } as Request;
}

function text(answer: GenerateResponse): string {
  return (answer.output?.parts ?? []).map(({ part }) => (part.case === "text" ? part.value : "")).join("");
}

function words(text: string): number {
  return text.split(/\s+/).filter(Boolean).length;
}

function told(attempts: Attempt[]): string {
  return attempts.map(({ kind, outcome }) => `${AttemptKind[kind]} ${AttemptOutcome[outcome]}`).join(", ");
}

function finish(answer: GenerateResponse): string {
  return FinishReason[answer.finishReason] ?? "";
}

async function failure(call: () => Promise<unknown>): Promise<[unknown, Failure]> {
  try {
    await call();
  } catch (error) {
    return [error, failureOf(error)];
  }
  throw new Error("the call should have failed");
}

async function collect<T>(events: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const event of events) {
    into.push(event);
  }
  return into;
}

export async function play(library: Library): Promise<void> {
  let answer = await library.generate(request("chat"), PATIENCE);
  console.log(
    `unary: ${finish(answer)} by ${answer.provider}/${answer.model}, ${words(text(answer))} words, ` +
      `${answer.usage?.inputTokens} + ${answer.usage?.outputTokens} tokens, ` +
      `${answer.cost?.amountNanos} nanos of ${answer.cost?.currencyCode}, ${told(answer.attempts)}`,
  );

  const events = await collect(library.stream(request("chat"), PATIENCE));
  const kinds = events.map(({ event }) => (event.case ?? "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
  const whole = events.map(({ event }) => (event.case === "textDelta" ? event.value.text : "")).join("");
  const gapless = events.every(({ sequence }, index) => sequence === BigInt(index + 1));
  console.log(
    `stream: ${kinds.filter((kind, index) => kind !== kinds[index - 1]).join(" ")}, ${words(whole)} words, ` +
      `numbered without gaps: ${gapless}`,
  );

  answer = await library.generate(request("failover"), PATIENCE);
  console.log(`failover: ${answer.provider}, ${told(answer.attempts)}`);

  await tools(library);

  const value = { schema: { schema: { case: "text", value: SCHEMA } }, strict: true } as const;
  const responseFormat = { format: { case: "jsonSchema", value } } as const;
  answer = await library.generate(request("chat", { responseFormat }), PATIENCE);
  console.log(`schema: ${finish(answer)}, keys: ${Object.keys(JSON.parse(text(answer))).join(", ")}`);

  const source = { case: "data" as const, value: new Uint8Array(1024 * 1024) };
  const parts = [
    { part: { case: "text" as const, value: "What is it?" } },
    { part: { case: "image" as const, value: { source, mediaType: "image/png" } } },
  ];
  answer = await library.generate(request("chat", { messages: [{ role: Role.USER, parts }] }), PATIENCE);
  console.log(`image: ${finish(answer)}, ${words(text(answer))} words`);

  await ends(library);
  await failures(library);
  console.log(
    `health: ${await library.health("")}, scenario/chat ${await library.health("scenario/chat")}, ` +
      `nonsense ${await library.health("nonsense")}`,
  );
}

async function tools(library: Library): Promise<void> {
  const parameters = { schema: { case: "text", value: SCHEMA } } as const;
  const tool = { tool: { case: "function", value: { name: "search", parameters } } } as const;
  const must = { choice: { case: "mode", value: ToolChoiceMode.REQUIRED } } as const;
  const asked = await library.generate(request("chat", { tools: [tool], toolChoice: must }), PATIENCE);
  const called = asked.output?.parts.find(({ part }) => part.case === "toolCall")?.part;
  if (called?.case !== "toolCall" || !asked.output) {
    throw new Error("no tool was called");
  }
  const parsed: unknown = JSON.parse(called.value.argumentsJson);
  const content = [{ part: { case: "text" as const, value: "nothing found" } }];
  const result = { case: "toolResult" as const, value: { toolCallId: called.value.id, content } };
  const back = create(MessageSchema, { role: Role.TOOL, parts: [{ part: result }] });
  const answer = await library.generate(
    request("chat", { messages: [HELLO, asked.output, back], tools: [tool] }),
    PATIENCE,
  );
  console.log(
    `tools: ${finish(asked)} ${called.value.name}, arguments are an object: ${typeof parsed === "object"}, ` +
      `then ${finish(answer)}, ${words(text(answer))} words`,
  );
}

async function ends(library: Library): Promise<void> {
  const controller = new AbortController();
  let [error] = await failure(async () => {
    for await (const { event } of library.stream(request("endless"), { ...PATIENCE, signal: controller.signal })) {
      if (event.case === "textDelta") {
        controller.abort();
      }
    }
  });
  console.log(`cancelled: ${library.code(error)}`);

  [error] = await failure(() => library.generate(request("silent"), { timeoutMs: 300 }));
  console.log(`deadline: ${library.code(error)}`);
  const [late, found] = await failure(() => collect(library.stream(request("short-of-time"), {})));
  console.log(`time of the scenario: ${library.code(late)} ${found.reason}, ${told(found.attempts)}`);
}

async function failures(library: Library): Promise<void> {
  let [error, found] = await failure(() => library.generate(request("unavailable"), PATIENCE));
  const same = found.callId !== "" && library.trailer(error, "x-modelway-call-id") === found.callId;
  console.log(
    `failing: ${library.code(error)} ${found.reason}, provider's status ${found.metadata.provider_status}, ` +
      `${told(found.attempts)}, pushback ${library.trailer(error, "grpc-retry-pushback-ms")}, ` +
      `call id in both places: ${same}`,
  );
  [error, found] = await failure(() => library.generate(request("limited"), PATIENCE));
  console.log(`limited: ${library.code(error)} ${found.reason}, after ${(found.retryDelayMs ?? 0) / 1000} s`);
  const wrong = request("chat", { messages: [{ text: "no role" }], sampling: { temperature: 3 } });
  [error, found] = await failure(() => library.generate(wrong, PATIENCE));
  console.log(`invalid: ${library.code(error)} ${found.reason}, ${Object.keys(found.fields).join(", ")}`);
  const events: StreamGenerateResponse[] = [];
  [error, found] = await failure(() => collect(library.stream(request("cut"), PATIENCE), events));
  const pieces = events.filter(({ event }) => event.case === "textDelta").length;
  console.log(`cut: ${library.code(error)} ${found.reason}, ${pieces} pieces`);
}
