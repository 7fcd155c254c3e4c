/**
 * `imgtool push BASE ARCHIVE INDEX STORE [STORE...]`: the side of casync's remote protocol that is
 * written to.
 * @module
 */
import { openLocalStore, servePush } from "@imgtool/store";
import type { Command } from "commander";
import { addRemoteOperands, remoteOperands, type RemoteOptions } from "../remote-operands.ts";
import { runVerb, verbCommand } from "../verb.ts";

export function command(): Command {
  const push = addRemoteOperands(
    verbCommand("push", "Let another machine write an archive, or an index and its chunks, to this one."),
  );
  return push.action((base: string, archive: string, index: string, store: string, others: readonly string[]) =>
    runVerb(push, async ({ signal }) => {
      const operands = remoteOperands(base, archive, index, store, others);
      const { openStoreIfThere, standardChannel } = await import("../remote-side.ts");
      await using resources = new AsyncDisposableStack();
      const opened =
        operands.store === undefined
          ? undefined
          : resources.adopt(await openLocalStore(operands.store, { create: true }), (one) => one.close());
      const extraStores = [];
      for (const path of operands.extraStores) {
        extraStores.push(resources.adopt(await openStoreIfThere(path), (one) => one.close()));
      }
      await servePush({
        channel: standardChannel(push.opts<RemoteOptions>()),
        ...operands,
        store: opened,
        extraStores,
        signal,
      });
    }),
  );
}
