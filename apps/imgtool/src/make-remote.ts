/**
 * What `imgtool make` does when the index or archive is on another machine, or a stream: an index is made
 * here, in a temporary store, and the other side asks for the chunks that it lacks.
 * @module
 */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, type Progress } from "@imgtool/core";
import { digestOfFlags } from "@imgtool/chunker";
import {
  isSshLocation,
  openLocalStore,
  parseSshLocation,
  pushArchive,
  pushIndex,
  sameRemote,
  sshConnect,
  type SshOptions,
} from "@imgtool/store";
import { type ArchiveSourceOptions, type IdShift, type MadeArchive, openArchiveSource } from "@imgtool/sync";

export interface MakeRemoteOptions<Made> {
  /** Where the index goes: a location on another machine. */
  readonly target: string;
  /** Where its chunks go: on the same machine, or a path here. */
  readonly store: string;
  /** Makes the index and its chunks at paths of this machine. */
  readonly make: (index: string, store: string, isTemporary: boolean) => Promise<Made>;
  readonly access: SshOptions;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Makes an index for another machine; chunks that its store has are not sent.
 * @throws ConfigError `store-elsewhere`; as pushIndex()
 */
export async function makeRemote<Made>(
  options: MakeRemoteOptions<Made>,
): Promise<Made & { chunksSent: number; bytesSent: number }> {
  const { target, store, make, progress, signal } = options;
  const remote = parseSshLocation(target);
  const remoteStore = isSshLocation(store) ? parseSshLocation(store) : undefined;
  if (remoteStore !== undefined && !sameRemote(remote, remoteStore)) {
    throw new ConfigError(`the index is on ${remote.destination}, its store on ${remoteStore.destination}`, {
      code: "store-elsewhere",
      hint: "name a store on the same machine, for the same user",
      data: { index: target, store },
    });
  }
  // As casync: /tmp may be memory.
  await using resources = new AsyncDisposableStack();
  const folder = await mkdtemp(join(process.env["TMPDIR"] || "/var/tmp", "imgtool-make-"));
  resources.defer(() => rm(folder, { recursive: true, force: true }));
  const index = join(folder, "index");
  const chunks = remoteStore === undefined ? store : join(folder, "store");
  const made = await make(index, chunks, remoteStore !== undefined);
  const opened = await openLocalStore(chunks);
  resources.defer(() => opened.close());
  const sent = await pushIndex({
    connect: sshConnect(remote, options.access),
    source: index,
    index: remote.path,
    ...(remoteStore === undefined ? {} : { store: remoteStore.path, chunks: opened }),
    progress,
    signal,
  });
  return { ...made, ...sent };
}

export interface StreamArchiveOptions {
  readonly source: ArchiveSourceOptions["source"];
  readonly flags: bigint;
  readonly idShift: IdShift | undefined;
  /** Whether to digest the archive. */
  readonly contentDigest: boolean;
  readonly signal: AbortSignal;
}

/** Archives a tree to where `write` sends the bytes. @throws as makeArchive() and `write` */
export async function streamArchive(
  options: StreamArchiveOptions,
  write: (archive: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<MadeArchive> {
  const { flags, bytes: archive } = await openArchiveSource(options);
  const hash = options.contentDigest ? createHash(digestOfFlags(flags)) : undefined;
  let size = 0;
  async function* digested(): AsyncGenerator<Uint8Array> {
    for await (const bytes of archive) {
      hash?.update(bytes);
      size += bytes.length;
      yield bytes;
    }
  }
  await write(digested());
  return { size, digest: hash?.digest("hex") };
}

/** Sends an archive to a location on another machine. @throws as pushArchive() */
export async function sendArchive(
  target: string,
  source: AsyncIterable<Uint8Array>,
  {
    access,
    progress,
    signal,
  }: { readonly access: SshOptions; readonly progress: Progress; readonly signal: AbortSignal },
): Promise<void> {
  const remote = parseSshLocation(target);
  await pushArchive({ connect: sshConnect(remote, access), source, archive: remote.path, progress, signal });
}
