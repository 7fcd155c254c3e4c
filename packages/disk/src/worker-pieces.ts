/**
 * Work on the pieces of a file, shared by threads: each takes the next piece from a counter until none is
 * left.
 * @module
 */
import { parentPort, Worker, workerData } from "node:worker_threads";
import { abortedError, errorMessage, systemErrorCode } from "@imgtool/core";

interface PieceWorkerData {
  readonly target: unknown;
  /** Number of the next piece; a number past the last one stops the workers. */
  readonly next: Int32Array;
  readonly pieces: number;
}

type PieceWorkerMessage =
  | { readonly type: "piece" }
  | { readonly type: "done" }
  | { readonly type: "error"; readonly message: string; readonly errno: string | undefined };

export interface PieceWork {
  /** The worker's module, which calls `servePieces`; beside the caller, with the caller's extension. */
  readonly worker: URL;
  /** What the pieces are of. */
  readonly target: unknown;
  readonly pieces: number;
  readonly threads: number;
  /** Called for each finished piece. */
  readonly advance: () => void;
  readonly signal: AbortSignal | undefined;
}

/** The address of a worker's module beside the caller's: `.ts` in the sources, `.js` when built. */
export function workerUrl(name: string, caller: string): URL {
  return new URL(`./${name}${caller.endsWith(".ts") ? ".ts" : ".js"}`, caller);
}

/**
 * Runs the work to its end.
 * @throws AbortedError; what a thread threw, with its system error code
 */
export async function runPieces(work: PieceWork): Promise<void> {
  const { pieces, signal } = work;
  const next = new Int32Array(new SharedArrayBuffer(4));
  const stop = (): void => void Atomics.store(next, 0, pieces);
  signal?.addEventListener("abort", stop);
  try {
    // Every worker is waited for, even after an error: they use this thread's file descriptors.
    const outcomes = await Promise.allSettled(
      Array.from({ length: Math.min(work.threads, pieces) }, async () => {
        const data: PieceWorkerData = { target: work.target, next, pieces };
        const worker = new Worker(work.worker, { workerData: data });
        try {
          await new Promise<void>((resolve, reject) => {
            worker.on("message", (message: PieceWorkerMessage) => {
              if (message.type === "piece") work.advance();
              else if (message.type === "done") resolve();
              else
                reject(
                  Object.assign(new Error(message.message), message.errno === undefined ? {} : { code: message.errno }),
                );
            });
            worker.on("error", reject);
            worker.on("exit", (code) => reject(new Error(`a worker thread ended with ${code}`)));
          });
        } catch (error) {
          stop();
          throw error;
        } finally {
          await worker.terminate();
        }
      }),
    );
    if (signal?.aborted === true) throw abortedError(signal);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** The worker's side: `begin` gets the target and returns what is done with each piece. */
export function servePieces(begin: (target: unknown) => (index: number) => void): void {
  const { target, next, pieces } = workerData as PieceWorkerData;
  try {
    const work = begin(target);
    for (;;) {
      const index = Atomics.add(next, 0, 1);
      if (index >= pieces) break;
      work(index);
      send({ type: "piece" });
    }
    send({ type: "done" });
  } catch (error) {
    // Errors of Node.js lose their code in transit.
    send({ type: "error", message: errorMessage(error), errno: systemErrorCode(error) });
  }
}

function send(message: PieceWorkerMessage): void {
  parentPort?.postMessage(message);
}
