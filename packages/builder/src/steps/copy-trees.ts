/**
 * Copies trees of the project into the image.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import type { BuildContext } from "../context.ts";
import { copyTree } from "../copy-tree.ts";

/** SkeletonTrees= or ExtraTrees=, in their order. */
export async function copyTrees(context: BuildContext, trees: ImageConfig["extraTrees"]): Promise<void> {
  if (trees.length === 0) return;
  using task = context.progress.start({ label: "copy trees" });
  let count = 0;
  for (const from of trees) {
    task.detail(from.source);
    count += await copyTree(from, context.tree, context);
  }
  task.done(`${count} files`);
}
