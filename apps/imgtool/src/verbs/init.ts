/**
 * `imgtool init`: a first mkosi.conf in a directory that has none.
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { ExistsError } from "@imgtool/core";
import { makeAtomically, pathExists } from "@imgtool/host";
import type { Command } from "commander";
import { hostFacts } from "../host-facts.ts";
import { runVerb, verbCommand } from "../verb.ts";

/** A project that builds as it is: the smallest system that starts, of this machine's distribution. */
function firstConfiguration(name: string): string {
  const { distribution, release } = hostFacts();
  const isKnown = (distribution === "debian" || distribution === "ubuntu") && release !== undefined;
  return `# The settings are mkosi's: imgtool build --help lists them.
[Distribution]
Distribution=${isKnown ? distribution : "debian"}
Release=${isKnown ? release : "trixie"}

[Output]
Format=disk
ImageId=${name}
ImageVersion=1

[Content]
Packages=
    systemd-sysv
    dbus
    login
# Files that go into the image as they are: put them into mkosi.extra/.

# SHA256SUMS beside the image, for whoever downloads it.
[Validation]
Checksum=yes
`;
}

export function command(): Command {
  const init = verbCommand("init", "Write a first mkosi.conf, and the folders beside it.").argument(
    "[directory]",
    "where",
    ".",
  );
  return init.action((where: string) =>
    runVerb(init, async ({ reporter }) => {
      const directory = resolve(where);
      const file = join(directory, "mkosi.conf");
      if (await pathExists(file)) {
        throw new ExistsError(`${file} exists already`, {
          code: "project-exists",
          hint: "imgtool summary shows what it says",
          data: { path: file },
        });
      }
      const name =
        basename(directory)
          .toLowerCase()
          .replaceAll(/[^a-z0-9.-]+/g, "-") || "image";
      for (const folder of ["mkosi.extra", "mkosi.cache"]) await mkdir(join(directory, folder), { recursive: true });
      await makeAtomically(file, async (temporary) => await writeFile(temporary, firstConfiguration(name)));
      reporter.result({ file, imageId: name }, `${file}\nnext: imgtool build -C ${where}`);
    }),
  );
}
