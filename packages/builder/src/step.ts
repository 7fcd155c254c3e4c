/**
 * A build is a list of steps, run in order.
 * @module
 */
import { throwIfAborted } from "@imgtool/core";
import type { BuildContext } from "./context.ts";

export interface Step {
  readonly name: string;
  run(context: BuildContext): Promise<void>;
}

/** Runs them one after another. */
export async function runSteps(list: readonly Step[], context: BuildContext): Promise<void> {
  for (const step of list) {
    throwIfAborted(context.signal);
    context.progress.log("debug", `step: ${step.name}`);
    await step.run(context);
  }
}
