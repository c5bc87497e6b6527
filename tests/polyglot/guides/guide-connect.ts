/** The code for Connect of docs/clients/typescript.md, put together and run. */

// connect
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { failureOf } from "@modelway/client";
import { CallerService, GenerationService, Role } from "@modelway/client/v1";

const [, , address = ""] = process.argv;
const transport = createGrpcTransport({ baseUrl: `http://${address}` });
const client = createClient(GenerationService, transport);
const messages = [{ role: Role.USER, text: "Why is the sky blue?" }];

// connect call
const cancellation = new AbortController();
const options = { timeoutMs: 60_000, signal: cancellation.signal };
try {
  for await (const { event } of client.streamGenerate({ scenario: "generl", messages }, options)) {
    if (event.case === "textDelta") {
      process.stdout.write(event.value.text);
    }
  }
} catch (error) {
  console.log(ConnectError.from(error).code, failureOf(error).reason);
}

// connect who
const headers = { authorization: `Bearer ${process.env.MODELWAY_API_KEY}` };
const me = await createClient(CallerService, transport).whoAmI({}, { headers });

console.log("caller:", me.caller);
process.exit(0);
