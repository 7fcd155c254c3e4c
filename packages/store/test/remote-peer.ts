/**
 * The two ends of casync's remote protocol in one process, and ssh's place taken by a script that runs
 * the command here.
 * @module
 */
import { writeFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import type { TemporaryFolder } from "@imgtool/testkit";
import { type Connect, type RemoteFiles, streamChannel } from "../src/index.ts";
import type { Channel } from "../src/remote/connection.ts";

/** Connects to what `serve` does with the other end. */
export function connectTo(serve: (channel: Channel, files: RemoteFiles) => unknown): Connect {
  return async (files) => {
    const [there, back] = [new PassThrough(), new PassThrough()];
    void Promise.resolve(serve(streamChannel("client", there, back), files)).catch(() => {});
    return streamChannel("server", back, there);
  };
}

/** A program in the place of ssh: it runs the remote command on this machine, as ssh's shell would. */
export function fakeSsh(folder: TemporaryFolder): string {
  const path = folder.join("fake-ssh");
  writeFileSync(path, '#!/bin/sh\n[ "$1" = -p ] && shift 2\nshift\nexec sh -c "$*"\n', { mode: 0o755 });
  return path;
}
