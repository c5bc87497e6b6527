/** The typed details of a call that failed, whichever library made the call. */

import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";
import type { Attempt } from "./gen/modelway/v1/attempt_pb.js";
import { CallFailureSchema } from "./gen/modelway/v1/generation_service_pb.js";
import type { LimitDenial } from "./gen/modelway/v1/limits_pb.js";

/** What Modelway says about a call that failed. */
export interface Failure {
  /**
   * A value of `ErrorReason` without its prefix. Empty if the failure is not Modelway's but that of the library, such as
   * a server that cannot be reached.
   */
  reason: string;
  /** To be quoted to the operator of Modelway. */
  callId: string;
  /** Facts beside the reason, such as `provider_status`. */
  metadata: Record<string, string>;
  /** Milliseconds after which the same call may succeed; undefined where waiting is not known to help. */
  retryDelayMs: number | undefined;
  /** For an invalid request: what is wrong, by the path of the field. */
  fields: Record<string, string>;
  /** What was tried, skipped targets included. */
  attempts: Attempt[];
  /** For a call that limits do not let through: which, what was left, and when there is more. */
  limits: LimitDenial[];
}

interface Detail {
  /** Full name of the message. */
  type: string;
  value: Uint8Array;
}

/** Reads the details from what a client threw: an error of `@grpc/grpc-js` or a `ConnectError`. */
export function failureOf(error: unknown): Failure {
  const details = detailsOf(error);
  const read = <D extends DescMessage>(schema: D): MessageShape<D> | undefined => {
    const detail = details.find((detail) => detail.type === schema.typeName);
    return detail && fromBinary(schema, detail.value);
  };
  const info = read(ErrorInfoSchema);
  const delay = read(RetryInfoSchema)?.retryDelay;
  const failed = read(CallFailureSchema);
  const violations = read(BadRequestSchema)?.fieldViolations ?? [];
  return {
    reason: info?.reason ?? "",
    callId: info?.metadata.call_id ?? callIdBeside(error),
    metadata: { ...info?.metadata },
    retryDelayMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    fields: Object.fromEntries(violations.map(({ field, description }) => [field, description])),
    attempts: failed?.attempts ?? [],
    limits: failed?.limits ?? [],
  };
}

/** A call that was refused before it was read has its id only in the trailer. */
function callIdBeside(error: unknown): string {
  if (typeof error !== "object" || error === null || !("metadata" in error) || !hasGet(error.metadata)) {
    return "";
  }
  // A list in grpc-js, one text or null in Connect.
  const [id] = [error.metadata.get("x-modelway-call-id")].flat();
  return typeof id === "string" ? id : "";
}

function detailsOf(error: unknown): Detail[] {
  if (typeof error !== "object" || error === null) {
    return [];
  }
  // A ConnectError holds the details one by one, and those that were received as bytes.
  if ("details" in error && Array.isArray(error.details)) {
    return error.details.filter((detail): detail is Detail => detail?.value instanceof Uint8Array);
  }
  // grpc-js leaves them in the trailer.
  if ("metadata" in error && hasGet(error.metadata)) {
    const [bytes] = [error.metadata.get("grpc-status-details-bin")].flat();
    if (bytes instanceof Uint8Array) {
      return fromBinary(StatusSchema, bytes).details.map(({ typeUrl, value }) => ({
        type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
        value,
      }));
    }
  }
  return [];
}

function hasGet(metadata: unknown): metadata is { get(key: string): unknown } {
  return typeof metadata === "object" && metadata !== null && "get" in metadata;
}
