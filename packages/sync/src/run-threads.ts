/**
 * Runs one worker on every processor until all have ended: the frame of an extraction and of a
 * verification, whose workers share a list of work and take from it.
 * @module
 */
import { availableParallelism } from "node:os";
import { throwIfAborted } from "@imgtool/core";
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
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs the workers; the first failure, or the signal, stops them all.
 * @throws AbortedError; the first error of a worker
 */
export async function runThreads<Message extends { readonly type: string }>(
  name: Parameters<typeof startWorker>[0],
  { workerData, counters, onMessage, signal }: RunThreadsOptions<Message>,
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
  signal?.addEventListener("abort", stop, { once: true });
  try {
    throwIfAborted(signal);
    await Promise.all(Array.from({ length: availableParallelism() }, runThread));
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  throwIfAborted(signal);
  if (failures.length > 0) throw failures[0];
}
