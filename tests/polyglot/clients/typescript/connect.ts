/** Plays every case over Connect-ES, with gRPC or with gRPC-Web: the second argument says which. */

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { GenerationService } from "@modelway/client/v1";
import { play } from "./cases.js";
import { Health, HealthCheckResponse_ServingStatus } from "./gen/health_pb.js";

const [, , address = "", protocol = "grpc", version = "1.1"] = process.argv;
const baseUrl = `http://${address}`;
const transport =
  protocol === "grpc-web"
    ? createGrpcWebTransport({ baseUrl, httpVersion: version === "2" ? "2" : "1.1" })
    : createGrpcTransport({ baseUrl });
const client = createClient(GenerationService, transport);
const health = createClient(Health, transport);

function code(error: unknown): string {
  return (Code[ConnectError.from(error).code] ?? "").replace(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

await play({
  generate: (request, options) => client.generate(request, options),
  stream: (request, options) => client.streamGenerate(request, options),
  health: (service) =>
    health.check({ service }).then(({ status }) => HealthCheckResponse_ServingStatus[status] ?? "", code),
  code: (error) => code(error).replace("CANCELED", "CANCELLED"),
  trailer: (error, name) => ConnectError.from(error).metadata.get(name) ?? "",
});
process.exit(0);
