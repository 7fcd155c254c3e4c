/**
 * The archive of the tree in a tar archive: byte for byte what walkTree() makes of the directory that
 * GNU tar extracts.
 * @module
 */
import { compareBytes, FormatError, throwIfAborted } from "@imgtool/core";
import { CatarEncoder, type CatarNode, defaultArchiveFlags, excludeFile, recordsKind } from "@imgtool/catar";
import { readTarMember, type TarInput, type TarMember } from "@imgtool/tar";
import { excludeFileName, ExcludeRules } from "./exclude.ts";
import { impliedDirectory, tarNode } from "./tar-metadata.ts";
import { readTarNodes, type TarNode } from "./tar-nodes.ts";
import type { TreePiece, WalkTreeOptions } from "./walk.ts";
import { shiftDown } from "./id-shift.ts";

const pieceSize: number = 1024 ** 2;
const excludeFileLimit: number = 1024 ** 2;

/** @throws as readTarNodes(); ConfigError; CatarError `catar-too-deep` */
export async function* walkTar(input: TarInput, options: WalkTreeOptions = {}): AsyncGenerator<TreePiece, void> {
  const root = await readTarNodes(input);
  const walker = new TarWalker(input, options);
  yield* walker.directory(undefined, root, ExcludeRules.none);
  walker.encoder.finish();
}

class TarWalker {
  readonly encoder: CatarEncoder;
  readonly #input: TarInput;
  readonly #options: WalkTreeOptions;
  readonly #flags: bigint;

  constructor(input: TarInput, options: WalkTreeOptions) {
    this.#input = input;
    this.#options = options;
    this.#flags = options.flags ?? defaultArchiveFlags;
    this.encoder = new CatarEncoder(this.#flags);
  }

  async *directory(name: Buffer | undefined, node: TarNode, inherited: ExcludeRules): AsyncGenerator<TreePiece, void> {
    const member = await this.#member(node);
    yield { bytes: this.encoder.entry(name, this.#node(member)) };
    const children = [...(node.children ?? [])].map(([key, child]) => ({ name: Buffer.from(key, "latin1"), child }));
    children.sort((a, b) => compareBytes(a.name, b.name));
    const rules = await this.#rules(node, inherited);
    for (const { name: childName, child } of children) {
      throwIfAborted(this.#options.signal);
      if (rules.excludes(childName, child.children !== undefined)) continue;
      if (child.children === undefined) yield* this.#leaf(childName, child);
      else yield* this.directory(childName, child, rules.below(childName));
    }
    yield { bytes: this.encoder.leave() };
  }

  async *#leaf(name: Buffer, node: TarNode): AsyncGenerator<TreePiece, void> {
    const member = await this.#member(node);
    const entry = this.#node(member);
    if (!recordsKind(this.#flags, entry.content.kind)) return;
    yield { bytes: this.encoder.entry(name, entry) };
    if (member === undefined || entry.content.kind !== "file") return;
    for await (const bytes of this.#content(member)) {
      this.encoder.payload(bytes.length);
      yield { bytes };
    }
  }

  /** A file's bytes, holes as zeros. */
  async *#content(member: TarMember): AsyncGenerator<Uint8Array, void> {
    let position = 0;
    for (const { start, length, at } of member.segments) {
      yield* this.#zeros(start - position);
      for (let done = 0; done < length;) {
        throwIfAborted(this.#options.signal);
        const wanted = Math.min(pieceSize, length - done);
        const bytes = await this.#input.read(at + done, wanted);
        if (bytes.length < wanted) throw truncated(at + done + bytes.length);
        // A piece may be part of a buffer that is filled again.
        yield bytes.slice();
        done += wanted;
      }
      position = start + length;
    }
    yield* this.#zeros(member.size - position);
  }

  *#zeros(length: number): Generator<Uint8Array, void> {
    for (let left = length; left > 0; left -= pieceSize) {
      throwIfAborted(this.#options.signal);
      yield new Uint8Array(Math.min(left, pieceSize));
    }
  }

  async #member(node: TarNode): Promise<TarMember | undefined> {
    return node.member && (await readTarMember(this.#input, node.member.offset, node.member.globals));
  }

  #node(member: TarMember | undefined): CatarNode {
    const node = member === undefined ? impliedDirectory : tarNode(member, this.#flags);
    const { idShift } = this.#options;
    return idShift === undefined ? node : { ...node, metadata: shiftDown(node.metadata, idShift) };
  }

  /** The rules of the directory's .caexclude file, and those from above. */
  async #rules(node: TarNode, inherited: ExcludeRules): Promise<ExcludeRules> {
    const file = (this.#flags & excludeFile) === 0n ? undefined : node.children?.get(excludeFileName);
    const member = file === undefined ? undefined : await this.#member(file);
    if (member?.kind !== "file" || member.size > excludeFileLimit) return inherited;
    const parts: Uint8Array[] = [];
    for await (const bytes of this.#content(member)) parts.push(bytes);
    return inherited.with(ExcludeRules.parse(Buffer.concat(parts), Buffer.from(member.path).toString("utf8")));
  }
}

function truncated(offset: number): FormatError {
  return new FormatError(`tar archive, offset ${offset}: the archive ends amid a file`, {
    code: "tar-truncated",
    hint: "the archive is incomplete: copy or make it again",
    data: { offset },
  });
}
