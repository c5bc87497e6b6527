/** Does with grpc-js what a client should not do, or cannot help; prints a line for each. */

import * as grpc from "@grpc/grpc-js";
import { failureOf } from "@modelway/client";
import { type Client, createClient } from "@modelway/client/grpc-js";
import { type GenerateResponse, GenerationService, Role } from "@modelway/client/v1";

const [, , address = ""] = process.argv;
const PATIENCE = 60_000;
type Generation = Client<typeof GenerationService>;

function request(scenario: string, text = "Hello") {
  return { scenario, messages: [{ role: Role.USER, text }] };
}

function connect(address: string, options: grpc.ChannelOptions = {}, credentials = grpc.credentials.createInsecure()) {
  return createClient(GenerationService, address, credentials, options);
}

function failed(error: unknown): string {
  return `${grpc.status[(error as grpc.ServiceError).code]} ${failureOf(error).reason}`.trim();
}

/** The number of words of an answer, or the code and reason of a failure. */
function outcome(client: Generation, asked: ReturnType<typeof request>, options: grpc.CallOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const settings = { deadline: Date.now() + PATIENCE, ...options };
    client.generate(asked, new grpc.Metadata(), settings, (error: grpc.ServiceError | null, answer?: GenerateResponse) => {
      const parts = answer?.output?.parts ?? [];
      const text = parts.map(({ part }) => (part.case === "text" ? part.value : "")).join("");
      resolve(error ? failed(error) : `${text.split(/\s+/).filter(Boolean).length} words`);
    });
  });
}

async function words(client: Generation, scenario: string, begun: () => void = () => {}): Promise<string> {
  let words = 0;
  try {
    const deadline = Date.now() + PATIENCE;
    for await (const { event } of client.streamGenerate(request(scenario), new grpc.Metadata(), { deadline })) {
      if (event.case === "textDelta" && words++ === 0) {
        begun();
      }
    }
  } catch (error) {
    return failed(error);
  }
  return `${words} words`;
}

console.log("nobody there:", await outcome(connect("127.0.0.1:1"), request("chat")));
const encrypted = connect(address, {}, grpc.credentials.createSsl());
console.log("TLS where there is none:", await outcome(encrypted, request("chat")));

const client = connect(address);
console.log("too large:", await outcome(client, request("chat", "x".repeat(40 << 20))));
console.log("and the next:", await outcome(client, request("chat")));
const gzip = connect(address, { "grpc.default_compression_algorithm": 2 });
console.log("compressed:", await outcome(gzip, request("chat", "word ".repeat(10_000))));
const small = connect(address, { "grpc.max_receive_message_length": 1024 });
console.log("beyond the client's limit:", await outcome(small, request("long")));
const pinging = connect(address, { "grpc.keepalive_time_ms": 100, "grpc.keepalive_permit_without_calls": 1 });
console.log("many pings:", await words(pinging, "slow"));
console.log("killed:", await words(client, "endless", () => console.log("restart: streaming")));
const metadata = new grpc.Metadata({ waitForReady: true });
const restarted = await new Promise<string>((resolve) => {
  client.generate(request("chat"), metadata, { deadline: Date.now() + PATIENCE }, (error: grpc.ServiceError | null) =>
    resolve(error ? failed(error) : "24 words"),
  );
});
console.log("restarted:", restarted);
process.exit(0);
