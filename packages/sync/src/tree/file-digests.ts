/**
 * Digests of many files at once: large ones by threads, small ones here, where reading them costs less
 * than telling a thread of them.
 * @module
 */
import { createHash } from "node:crypto";
import { closeSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import type { DigestAlgorithm } from "@imgtool/chunker";
import type { FileDigestAnswer, FileDigestOrder } from "../file-digest-worker.ts";
import { unpackError } from "../packed-error.ts";
import { startWorker } from "../start-worker.ts";
import { readContent } from "./walk.ts";
import { changedError, type FileContent } from "./walk-nodes.ts";

/** Bytes up to which a file is digested by this thread. */
const smallSize: number = 64 * 1024;

interface Waiting {
  readonly content: FileContent;
  resolve(digest: string): void;
  reject(error: unknown): void;
}

/** A crew of threads that starts with the first large file; disposing ends it. */
export class FileDigests implements AsyncDisposable {
  readonly #algorithm: DigestAlgorithm;
  readonly #buffer = Buffer.allocUnsafe(smallSize);
  readonly #crew: { readonly worker: Worker; load: number }[] = [];
  readonly #waiting = new Map<number, Waiting>();
  #tickets = 0;

  constructor(algorithm: DigestAlgorithm) {
    this.#algorithm = algorithm;
  }

  /**
   * The digest of a file under a walk's hand, hexadecimal; it need not be awaited before the next step.
   * @throws FormatError `source-changed` when the file has become shorter
   */
  digest(content: FileContent): string | Promise<string> {
    if (content.size > smallSize) return this.#order(content);
    const hash = createHash(this.#algorithm);
    for (let at = 0; at < content.size;) {
      const count = readContent(content, this.#buffer, at);
      hash.update(this.#buffer.subarray(0, count));
      at += count;
    }
    return hash.digest("hex");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { worker } of this.#crew) await worker.terminate();
    for (const { content } of this.#waiting.values()) closeSync(content.descriptor);
    this.#waiting.clear();
  }

  #order(content: FileContent): Promise<string> {
    if (this.#crew.length === 0) this.#start();
    const member = this.#crew.reduce((least, one) => (one.load < least.load ? one : least));
    const ticket = this.#tickets++;
    content.keep();
    member.load += content.size;
    const order: FileDigestOrder = { ticket, descriptor: content.descriptor, size: content.size };
    const digest = new Promise<string>((resolve, reject) => {
      this.#waiting.set(ticket, {
        content,
        resolve: (found) => {
          member.load -= content.size;
          resolve(found);
        },
        reject,
      });
    });
    // An error is thrown when it is its file's turn; until then it is not unhandled.
    digest.catch(() => {});
    member.worker.postMessage(order);
    return digest;
  }

  #start(): void {
    for (let i = 0; i < availableParallelism(); i++) {
      const worker = startWorker("file-digest-worker", this.#algorithm);
      worker.on("message", (answer: FileDigestAnswer) => this.#take(answer));
      worker.on("error", (error: unknown) => {
        for (const waiting of this.#waiting.values()) waiting.reject(error);
      });
      this.#crew.push({ worker, load: 0 });
    }
  }

  #take({ ticket, digest, error }: FileDigestAnswer): void {
    const waiting = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    if (waiting === undefined) return;
    closeSync(waiting.content.descriptor);
    const { path, size } = waiting.content;
    if (digest !== undefined) waiting.resolve(digest);
    else waiting.reject(error === undefined ? changedError(path, `${size} bytes`, "fewer") : unpackError(error));
  }
}
