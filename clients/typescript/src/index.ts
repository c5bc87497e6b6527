/** What every caller of Modelway needs beside the messages in `@modelway/client/v1`. */
export { type Failure, failureOf } from "./failure.js";
