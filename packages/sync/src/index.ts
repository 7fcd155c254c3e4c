/**
 * Moves trees and blobs into and out of chunk stores.
 * @module
 */
export type { ByteSource } from "./byte-source.ts";
export { type ChunkedStream, ChunkPipeline, type ChunkPipelineOptions } from "./chunk-pipeline.ts";
export { ChunkSource, type ChunkSourceCounts, type ChunkSourceOptions } from "./chunk-source.ts";
export { ChunkThreads } from "./chunk-threads.ts";
export {
  collectGarbage,
  type CollectGarbageOptions,
  type CollectedGarbage,
  defaultGracePeriod,
} from "./collect-garbage.ts";
export { type ByteRange, changedRanges, diffIndexes, type IndexDifference } from "./diff-index.ts";
export { describeIndexes, type IndexDescription, type IndexesDescription } from "./describe-indexes.ts";
export { describeStore, type DescribeStoreOptions, type StoreDescription } from "./describe-store.ts";
export { fillStore, type FilledStore, type FillStoreOptions } from "./fill-store.ts";
export { extractBlob, type ExtractBlobOptions, type ExtractedBlob } from "./extract-blob.ts";
export { blobSeed, type BlobSeedOptions, indexSeed } from "./file-seed.ts";
export { type MadeBlob, makeBlob, type MakeBlobOptions } from "./make-blob.ts";
export { chunkStream, type ChunkStreamOptions } from "./make-stream.ts";
export { openSeed, type OpenSeedOptions } from "./open-seed.ts";
export {
  fetchIndex,
  type FetchedIndex,
  type FetchIndexOptions,
  parseIndex,
  readIndex,
  type ReadIndexOptions,
} from "./read-index.ts";
export { readStream, type ReadStreamOptions } from "./read-stream.ts";
export type { Seed } from "./seed.ts";
export { storedSeed } from "./stored-seed.ts";
export { type UpdateCost, updateCost } from "./update-cost.ts";
export {
  verifyChunks,
  type VerifyChunksOptions,
  verifyFile,
  type VerifyFileOptions,
  type VerifyOptions,
  verifyStore,
  type VerifyStoreOptions,
} from "./verify.ts";
export type { Problem, ProblemCode, Verified } from "./verify-problem.ts";
export { type ArchiveSourceOptions, openArchiveSource, type OpenedSource } from "./tree/archive-source.ts";
export { type CutTree, cutTree, type CutTreeOptions } from "./tree/cut-tree.ts";
export { describeTree, type TreeDescription } from "./tree/describe-tree.ts";
export { type ChangedPart, diffTrees, recordedFlags, type TreeDifference, type TreeNode } from "./tree/diff-tree.ts";
export { type BlobSource, digestBlob, digestTree } from "./tree/digest-tree.ts";
export { exportTar, type ExportTarOptions } from "./tree/export-tar.ts";
export { type ExtractedTree, extractTree, type ExtractTreeOptions } from "./tree/extract-tree.ts";
export {
  escapePath,
  formatListLine,
  formatMode,
  type ListedNode,
  type ListOptions,
  listTree,
} from "./tree/list-tree.ts";
export {
  type MadeArchive,
  type MadeTree,
  makeArchive,
  type MakeArchiveOptions,
  makeTree,
  type MakeTreeOptions,
} from "./tree/make-tree.ts";
export { defaultIdRange, type IdShift, shiftOfDirectory } from "./tree/id-shift.ts";
export { mtreeLines, type MtreeOptions } from "./tree/mtree.ts";
export { formatStatus, type NodeStatus, type StatOptions, statTree } from "./tree/stat.ts";
export { RangedSource } from "./ranged-source.ts";
export { ArchiveBrowser, type BrowsedChild, type BrowsedNode, type RandomAccess } from "./tree/browse.ts";
export type { Place } from "./tree/directory-table.ts";
export { fileReader } from "./tree/archive-reader.ts";
export { openSubtree, type Subtree } from "./tree/subtree.ts";
export { treeSeed, type TreeSeedOptions } from "./tree/tree-seed.ts";
export { verifyArchive, type VerifyArchiveOptions, verifyTree, type VerifyTreeOptions } from "./tree/verify-tree.ts";
export { archiveBytes, archiveEvents, type TreeSource } from "./tree/tree-source.ts";
export { type TreePiece, walkTree, type WalkTreeOptions } from "./tree/walk.ts";
