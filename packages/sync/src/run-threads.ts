/**
 * Shares a list of work among all processors until there is no more: the frame of an extraction and of a
 * verification.
 *
 * This thread takes part: it begins while the others start, which takes them a tenth of a second, and one
 * thread less has to.
 * @module
 */
import { availableParallelism } from "node:os";
import { throwIfAborted } from "@imgtool/core";
import { Breather } from "./breathe.ts";
import { type PackedError, unpackError } from "./packed-error.ts";
import { startWorker } from "./start-worker.ts";

/** What a worker says when it cannot go on. */
interface FailedMessage {
  readonly type: "failed";
  readonly error: PackedError;
}

export interface RunThreadsOptions<Message> {
  /** Handed to every worker. */
  readonly workerData: object;
  /** Two counters in shared memory: the next piece of work, and 1 when the workers are to stop. */
  readonly counters: Int32Array<SharedArrayBuffer>;
  readonly onMessage: (message: Message) => void;
  /** This thread's part: a piece of work at each step. */
  readonly work: () => Iterator<void>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs the workers; the first failure, or the signal, stops them all.
 * @throws AbortedError; the first error of a worker
 */
export async function runThreads<Message extends { readonly type: string }>(
  name: Parameters<typeof startWorker>[0],
  { workerData, counters, onMessage, work, signal }: RunThreadsOptions<Message>,
): Promise<void> {
  const stop = (): void => void Atomics.store(counters, 1, 1);
  const failures: unknown[] = [];
  const fail = (error: unknown): void => {
    failures.push(error);
    stop();
  };
  const runThread = async (): Promise<void> => {
    const worker = startWorker(name, workerData);
    worker.on("message", (message: Message | FailedMessage) => {
      if (message.type === "failed") fail(unpackError((message as FailedMessage).error));
      else onMessage(message as Message);
    });
    worker.on("error", fail);
    await new Promise((resolve) => worker.once("exit", resolve));
  };
  const takePart = async (): Promise<void> => {
    try {
      const breather = new Breather();
      const steps = work();
      while (steps.next().done !== true) {
        const due = breather.due();
        if (due !== undefined) await due;
      }
    } catch (error) {
      fail(error);
    }
  };
  signal?.addEventListener("abort", stop, { once: true });
  try {
    throwIfAborted(signal);
    const others = Array.from({ length: availableParallelism() - 1 }, runThread);
    await Promise.all([takePart(), ...others]);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  throwIfAborted(signal);
  if (failures.length > 0) throw failures[0];
}
