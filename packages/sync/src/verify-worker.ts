/**
 * Worker thread of a verification.
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { packError, type PackedError } from "./packed-error.ts";
import { verifyItems, type VerifyOptions, type VerifyReport } from "./verify-items.ts";

export type VerifyWorkerMessage =
  | ({ readonly type: "checked" } & VerifyReport)
  | { readonly type: "failed"; readonly error: PackedError };

function tell(message: VerifyWorkerMessage): void {
  parentPort?.postMessage(message);
}

try {
  const steps = verifyItems(workerData as VerifyOptions, (report) => tell({ type: "checked", ...report }));
  while (steps.next().done !== true);
} catch (error) {
  tell({ type: "failed", error: packError(error) });
}
