/**
 * Checks a directory, or the archive itself, against the index of a tree.
 * @module
 */
import { compareBytes, silentProgress } from "@imgtool/core";
import { CatarError } from "@imgtool/catar";
import type { ChunkIndex } from "@imgtool/chunker";
import type { ReadStore } from "@imgtool/store";
import { ChunkPipeline } from "../chunk-pipeline.ts";
import type { VerifyOptions } from "../verify.ts";
import type { Problem, Verified } from "../verify-problem.ts";
import type { IdShift } from "./id-shift.ts";
import { diffTrees, type TreeDifference } from "./diff-tree.ts";
import { escapePath } from "./list-tree.ts";
import { archiveBytes, archiveEvents } from "./tree-source.ts";

export interface VerifyTreeOptions extends VerifyOptions {
  readonly index: ChunkIndex;
  readonly directory: string;
  /** The host's range of ids that the directory's owners are in. Default: they are taken as they are. */
  readonly idShift?: IdShift | undefined;
  /** Asked only where the directory differs, to tell in which files. None: the chunks are named. */
  readonly stores?: readonly ReadStore[];
}

/**
 * Checks that a directory's archive is what the index describes. A directory that is whole is told from
 * the index alone.
 * @throws as walkTree(); what the stores throw when the difference is looked for; AbortedError
 */
export async function verifyTree(options: VerifyTreeOptions): Promise<Verified> {
  const { index, directory, idShift, stores = [], signal, progress = silentProgress, onProblem = () => {} } = options;
  let [position, bytes, problems] = [0, 0, 0];
  const differing: Problem[] = [];
  {
    using task = progress.start({ label: "verify tree", unit: "bytes", total: index.totalSize });
    await using pipeline = await ChunkPipeline.open({
      sizes: index.sizes,
      digest: index.digest,
      signal,
      onChunk(size, id) {
        const isSame = position < index.count && compareBytes(index.id(position), id) === 0;
        // one difference moves all that follow: the first is what can be told without the store
        if (!isSame && differing.length === 0) differing.push(chunkDiffers(directory, position, bytes, size));
        position++;
        bytes += size;
      },
    });
    for await (const piece of archiveBytes({ directory, flags: index.flags, idShift }, signal)) {
      await pipeline.write(piece);
      task.advance(piece.length);
    }
    await pipeline.finish();
    if (position < index.count && differing.length === 0) {
      differing.push(chunkDiffers(directory, position, bytes, index.size(position)));
    }
    task.done(differing.length === 0 ? "no difference" : "differs");
  }
  if (differing.length > 0 && stores.length > 0) {
    for await (const difference of diffTrees({ index, stores }, { directory, flags: index.flags, idShift }, signal)) {
      problems++;
      onProblem(entryDiffers(directory, difference));
    }
  }
  if (problems === 0) {
    for (const problem of differing) {
      problems++;
      onProblem(problem);
    }
  }
  return { chunks: position, bytes, problems };
}

function chunkDiffers(directory: string, position: number, offset: number, size: number): Problem {
  const message = `${directory}: its archive differs from chunk ${position} at offset ${offset} on`;
  return { code: "content-differs", message, path: directory, position, offset, size };
}

function entryDiffers(directory: string, difference: TreeDifference): Problem {
  const path = `${directory}/${escapePath(difference.path)}`;
  const what =
    difference.change === "changed"
      ? `differs in ${difference.what.join(", ")}`
      : difference.change === "added"
        ? "is not in the index"
        : "is missing";
  return { code: "entry-differs", message: `${path} ${what}`, path };
}

export interface VerifyArchiveOptions extends VerifyOptions {
  readonly index: ChunkIndex;
  readonly stores: readonly ReadStore[];
}

/**
 * Checks the form of the archive that an index describes, whose chunks are known to be whole.
 * @throws what the stores throw; AbortedError
 */
export async function verifyArchive(
  options: VerifyArchiveOptions,
): Promise<{ readonly nodes: number; readonly problems: number }> {
  const { index, stores, signal, progress = silentProgress, onProblem = () => {} } = options;
  using task = progress.start({ label: "verify archive", unit: "bytes", total: index.totalSize });
  let nodes = 0;
  try {
    let before = 0;
    for await (const event of archiveEvents({ index, stores }, signal)) {
      if (event.type === "entry") nodes++;
      if (event.type !== "leave") continue;
      task.advance(event.end - before);
      before = event.end;
    }
  } catch (error) {
    if (!(error instanceof CatarError)) throw error;
    task.done("1 problem");
    onProblem({ code: "archive-invalid", message: `the archive is damaged: ${error.message}` });
    return { nodes, problems: 1 };
  }
  task.done(`${nodes} nodes`);
  return { nodes, problems: 0 };
}
