/**
 * Files that a child gets open and without a name: whatever ends imgtool, SIGKILL too, nothing of them
 * stays.
 * @module
 */
import { closeSync, openSync, unlinkSync, writeFileSync } from "node:fs";
import { memoryFile } from "@imgtool/host";

/** Of a child that has the standard streams. */
const firstFreeDescriptor = 3;

export class PassedFiles implements Disposable {
  readonly #descriptors: number[] = [];

  /** For the child's `stdio`, after the three standard streams. */
  get descriptors(): readonly number[] {
    return this.#descriptors;
  }

  /** Opens the file for reading and writing, removes its name, and returns the path by which the child finds it. */
  add(path: string): string {
    const child = this.#pass(openSync(path, "r+"));
    unlinkSync(path);
    return child;
  }

  /** Puts a secret into memory, never on disk, and returns the path by which the child finds it. */
  addSecret(name: string, content: string): string {
    const descriptor = memoryFile(name);
    const child = this.#pass(descriptor);
    writeFileSync(descriptor, content);
    return child;
  }

  #pass(descriptor: number): string {
    this.#descriptors.push(descriptor);
    return `/proc/self/fd/${firstFreeDescriptor + this.#descriptors.length - 1}`;
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#descriptors.splice(0)) closeSync(descriptor);
  }
}
