/**
 * `imgtool pull BASE ARCHIVE INDEX STORE [STORE...]`: the side of casync's remote protocol that is
 * read from.
 * @module
 */
import { servePull } from "@imgtool/store";
import type { Command } from "commander";
import { addRemoteOperands, remoteOperands, type RemoteOptions } from "../remote-operands.ts";
import { runVerb, verbCommand } from "../verb.ts";

export function command(): Command {
  const pull = addRemoteOperands(
    verbCommand("pull", "Let another machine read an archive, an index or chunks of this one."),
  );
  return pull.action((base: string, archive: string, index: string, store: string, others: readonly string[]) =>
    runVerb(pull, async ({ signal }) => {
      const operands = remoteOperands(base, archive, index, store, others);
      const { openStoreIfThere, standardChannel } = await import("../remote-side.ts");
      await using resources = new AsyncDisposableStack();
      const stores = [];
      for (const path of [...(operands.store === undefined ? [] : [operands.store]), ...operands.extraStores]) {
        stores.push(resources.adopt(await openStoreIfThere(path), (opened) => opened.close()));
      }
      await servePull({ channel: standardChannel(pull.opts<RemoteOptions>()), ...operands, stores, signal });
    }),
  );
}
