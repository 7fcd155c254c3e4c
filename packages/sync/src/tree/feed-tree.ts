/**
 * Writes the archive of a directory into the chunk pipeline: contents are read straight into its
 * memory.
 * @module
 */
import { type Task, throwIfAborted } from "@imgtool/core";
import type { ChunkPipeline } from "../chunk-pipeline.ts";
import { type FileContent, readContent, type WalkOptions, walkSteps } from "./walk.ts";

export interface FeedTreeOptions extends WalkOptions {
  readonly task: Task;
}

/** @throws as walkTree(); what the pipeline throws */
export async function feedTree(pipeline: ChunkPipeline, directory: string, options: FeedTreeOptions): Promise<void> {
  for (const step of walkSteps(directory, options)) {
    if ("content" in step) await feedContent(pipeline, step.content, options);
    else if (!pipeline.tryWrite(step.bytes)) await pipeline.write(step.bytes);
    options.task.advance("content" in step ? step.content.size : step.bytes.length);
  }
}

async function feedContent(pipeline: ChunkPipeline, content: FileContent, options: FeedTreeOptions): Promise<void> {
  for (let offset = 0; offset < content.size;) {
    throwIfAborted(options.signal);
    const view = pipeline.trySpace() ?? (await pipeline.space());
    const reading = readContent(content, view, offset);
    const count = typeof reading === "number" ? reading : await reading;
    pipeline.advance(count);
    if (!pipeline.tryCut()) await pipeline.cut();
    offset += count;
  }
}
