/**
 * Archives as plain data for tests.
 * @module
 */
import { concatBytes } from "@imgtool/core";
import { CatarDecoder, CatarEncoder, type CatarNode } from "../src/index.ts";

export interface Tree {
  readonly node: CatarNode;
  /** Content of a file. */
  readonly payload?: Uint8Array;
  /** Children of a directory, sorted by name. */
  readonly children?: readonly { readonly name: Uint8Array; readonly tree: Tree }[];
}

/** Decodes an archive that is pushed in pieces of the given sizes, in turn. */
export function decode(archive: Uint8Array, pieces: readonly number[] = [archive.length]): Tree {
  type Building = {
    node: CatarNode;
    name: Uint8Array;
    payload: Uint8Array[];
    children: { name: Uint8Array; tree: Tree }[];
  };
  const decoder = new CatarDecoder();
  const open: Building[] = [];
  let root: Tree | undefined;
  for (let at = 0, turn = 0; at < archive.length; turn++) {
    const size = Math.max(1, pieces[turn % pieces.length] ?? 1);
    // A copy that is wiped afterwards: nothing may be kept as a view of what was pushed.
    const piece = archive.slice(at, at + size);
    at += size;
    for (const event of decoder.push(piece)) {
      if (event.type === "entry") open.push({ node: event.node, name: event.name, payload: [], children: [] });
      else if (event.type === "payload") open.at(-1)?.payload.push(event.bytes.slice());
      else {
        const { node, name, payload, children } = open.pop() as Building;
        const { kind } = node.content;
        const tree: Tree = {
          node,
          ...(kind === "file" ? { payload: concatBytes(payload) } : {}),
          ...(kind === "directory" ? { children } : {}),
        };
        if (open.length === 0) root = tree;
        open.at(-1)?.children.push({ name, tree });
      }
    }
    piece.fill(0xee);
  }
  decoder.finish();
  return root as Tree;
}

/** Encodes a tree with the given flags. */
export function encode(tree: Tree, flags: bigint): Uint8Array {
  const encoder = new CatarEncoder(flags);
  const parts: Uint8Array[] = [];
  const visit = (name: Uint8Array | undefined, { node, payload, children }: Tree): void => {
    parts.push(encoder.entry(name, node));
    if (payload !== undefined) {
      parts.push(payload);
      encoder.payload(payload.length);
    }
    for (const child of children ?? []) visit(child.name, child.tree);
    if (node.content.kind === "directory") parts.push(encoder.leave());
  };
  visit(undefined, tree);
  encoder.finish();
  const archive = concatBytes(parts);
  if (encoder.offset !== archive.length) throw new Error("the encoder's offset is wrong");
  return archive;
}

/** Bytes of Latin-1 text. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}
