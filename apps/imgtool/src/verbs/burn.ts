/**
 * `imgtool burn DEVICE`: writes the built disk image to a device, and reads it back.
 * @module
 */
import { createInterface } from "node:readline/promises";
import { ConfigError, formatSize } from "@imgtool/core";
import type { Command } from "commander";
import { projectCommand } from "../project.ts";
import { runnableProject } from "../run-project.ts";
import { runVerb } from "../verb.ts";

interface BurnVerbOptions {
  readonly yes?: boolean;
}

export function command(): Command {
  const project = projectCommand("burn", "Write the built disk image to a device, which loses what is on it.");
  const { command: burn } = project;
  burn
    .argument("<device>", "the whole disk: /dev/sdb, /dev/mmcblk0")
    .option("-f, --force", "build first, and replace outputs of an earlier build")
    .option("-y, --yes", "do not ask before the device is overwritten");
  return burn.action((device: string) =>
    runVerb(burn, async (context) => {
      const { reporter, signal } = context;
      const { image } = await runnableProject(project, context);
      if (image.kind !== "disk" || image.diskFormat !== "raw") {
        throw new ConfigError("only a raw disk image can be written to a device", {
          code: "image-not-runnable",
          hint: "build it with Format=disk",
          data: { kind: image.kind, format: image.diskFormat },
        });
      }
      if (burn.opts<BurnVerbOptions>().yes !== true)
        await reporter.aside(async () => await confirm(image.path, device));
      const { burnImage } = await import("@imgtool/disk");
      const { path, sectorSize } = image;
      const size = await burnImage({ image: path, device, sectorSize, progress: reporter, signal });
      reporter.result({ device, image: path, size }, `${path} is on ${device} (${formatSize(size)})`);
    }),
  );
}

/** Asks at a terminal; elsewhere there is nobody to ask. */
async function confirm(image: string, device: string): Promise<void> {
  const refused = new ConfigError(`${device} would be overwritten with ${image}`, {
    code: "not-confirmed",
    hint: "--yes does it without asking",
    data: { device },
  });
  if (!process.stdin.isTTY) throw refused;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Overwrite everything on ${device} with ${image}? Type yes: `);
    if (answer.trim().toLowerCase() !== "yes") throw refused;
  } finally {
    terminal.close();
  }
}
