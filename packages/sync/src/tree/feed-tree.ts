/**
 * Writes the archive of a directory into a sink: contents are read straight into its memory.
 * @module
 */
import { type Task, throwIfAborted } from "@imgtool/core";
import { Breather } from "../breathe.ts";
import type { StreamSink } from "../stream-sink.ts";
import { readContent, walkSteps, type WalkTreeOptions } from "./walk.ts";
import type { FileContent } from "./walk-nodes.ts";

export interface FeedTreeOptions extends WalkTreeOptions {
  readonly task: Task;
  /** Told of each piece of the archive, before it is written: the bytes of records, or where content is from. */
  readonly onPiece?: ((piece: FedPiece) => void) | undefined;
}

export type FedPiece =
  /** Never changed afterwards. */
  | { readonly bytes: Uint8Array }
  /** `path`: relative to the directory; `offset` in the file, in bytes. */
  | { readonly path: Buffer; readonly offset: number; readonly length: number };

/** @throws as walkTree(); what the sink throws */
export async function feedTree(sink: StreamSink, directory: string, options: FeedTreeOptions): Promise<void> {
  const breather = new Breather();
  for (const step of walkSteps(directory, options)) {
    const due = breather.due();
    if (due !== undefined) await due;
    if ("bytes" in step) options.onPiece?.(step);
    if ("content" in step) await feedContent(sink, step.content, options);
    else if (!sink.tryWrite(step.bytes)) await sink.write(step.bytes);
    options.task.advance("content" in step ? step.content.size : step.bytes.length);
  }
}

async function feedContent(sink: StreamSink, content: FileContent, options: FeedTreeOptions): Promise<void> {
  for (let offset = 0; offset < content.size;) {
    throwIfAborted(options.signal);
    const view = sink.trySpace() ?? (await sink.space());
    const count = readContent(content, view, offset);
    options.onPiece?.({ path: content.path, offset, length: count });
    sink.advance(count);
    if (!sink.tryCut()) await sink.cut();
    offset += count;
  }
}
