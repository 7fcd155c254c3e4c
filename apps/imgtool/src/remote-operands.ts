/**
 * The operands of `pull` and `push`, which the peer's casync or imgtool writes and ssh hands over.
 * @module
 */
import { ConfigError, parseSize } from "@imgtool/core";
import type { Command } from "commander";
import { wrapped } from "./parse.ts";

export interface RemoteOperands {
  readonly archive: string | undefined;
  readonly index: string | undefined;
  readonly store: string | undefined;
  readonly extraStores: readonly string[];
}

export interface RemoteOptions {
  /** Bytes a second that are sent to the other machine, and received from it. */
  readonly rateLimitBps?: number;
}

const notice = `
ssh starts this verb for a casync or imgtool on another machine, which speaks casync's remote protocol
on standard input and output; it is of no use in a terminal. On the other machine:
  CASYNC_REMOTE_PATH=imgtool casync extract user@this-host:/srv/image.caibx image.raw`;

export function addRemoteOperands(command: Command): Command {
  return command
    .argument("<base>", "always -, as in casync")
    .argument("<archive>", "path of a .catar, or -")
    .argument("<index>", "path of a .caibx or .caidx, or -")
    .argument("<store>", "path of the chunk store, or -")
    .argument("[stores...]", "paths of other stores to read from")
    .option("--rate-limit-bps <bytes>", "send and receive no more bytes a second; K and M allowed", (text) =>
      wrapped(() => parseSize(text)),
    )
    .addHelpText("after", notice);
}

/** @throws ConfigError `remote-operands` */
export function remoteOperands(
  base: string,
  archive: string,
  index: string,
  store: string,
  extraStores: readonly string[],
): RemoteOperands {
  const operands = { archive: given(archive), index: given(index), store: given(store), extraStores };
  const isEmpty = Object.values(operands).every((value) => value === undefined || value.length === 0);
  if (given(base) === undefined && !isEmpty) return operands;
  throw new ConfigError(isEmpty ? "neither an archive, an index nor a store is named" : "BASE must be -", {
    code: "remote-operands",
    hint: "pull and push are started by the other machine's casync or imgtool",
    data: { base, archive, index, store },
  });
}

function given(operand: string): string | undefined {
  return operand === "-" || operand === "" ? undefined : operand;
}
