/** The messages and services of the package modelway.v1. */
export * from "./gen/modelway/v1/account_pb.js";
export * from "./gen/modelway/v1/admin_service_pb.js";
export * from "./gen/modelway/v1/attempt_pb.js";
export * from "./gen/modelway/v1/caller_service_pb.js";
export * from "./gen/modelway/v1/catalog_service_pb.js";
export * from "./gen/modelway/v1/content_pb.js";
export * from "./gen/modelway/v1/errors_pb.js";
export * from "./gen/modelway/v1/generation_service_pb.js";
export * from "./gen/modelway/v1/ledger_service_pb.js";
export * from "./gen/modelway/v1/limits_pb.js";
export * from "./gen/modelway/v1/operations_service_pb.js";
export * from "./gen/modelway/v1/policy_pb.js";
export * from "./gen/modelway/v1/price_pb.js";
export * from "./gen/modelway/v1/usage_pb.js";
