/**
 * Runs the project's scripts on the tree, with the environment and the mounts that mkosi gives them.
 * @module
 */
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { buildroot, runInSandbox } from "@imgtool/sandbox";
import type { BuildContext } from "../context.ts";

/** Runs scripts in order; each gets the word "final" as its argument, as mkosi's images do. */
export async function runScripts(context: BuildContext, scripts: readonly string[]): Promise<void> {
  const { config, tree, workspace, staging, progress, signal } = context;
  const artifacts = join(workspace, "artifacts");
  await mkdir(artifacts, { recursive: true });
  for (const script of scripts) {
    const inside = script.endsWith(".chroot");
    using task = progress.start({ label: `run ${basename(script)}` });
    await runInSandbox({
      script,
      args: ["final"],
      tree,
      inside,
      network: config.withNetwork,
      workdir: "/work/src",
      env: scriptEnvironment(context, inside),
      binds: [
        { source: config.directory, target: "/work/src" },
        { source: staging, target: "/work/out", writable: true },
        { source: artifacts, target: "/work/artifacts", writable: true },
      ],
      signal,
      onOutputLine: (line) => {
        task.detail(line);
        progress.log("debug", `${basename(script)}: ${line}`);
      },
    });
    task.done();
  }
}

/** The variables that a script may rely on. */
function scriptEnvironment({ config }: Pick<BuildContext, "config">, inside: boolean): Record<string, string> {
  return {
    ...config.environment,
    ARCHITECTURE: config.architecture,
    DISTRIBUTION: config.distribution,
    RELEASE: config.release,
    BUILDROOT: inside ? "/" : buildroot,
    SRCDIR: "/work/src",
    OUTPUTDIR: "/work/out",
    ARTIFACTDIR: "/work/artifacts",
    CHROOT_SRCDIR: "/work/src",
    CHROOT_OUTPUTDIR: "/work/out",
    CHROOT_ARTIFACTDIR: "/work/artifacts",
    SOURCE_DATE_EPOCH: String(config.sourceDateEpoch),
    WITH_DOCS: config.withDocs ? "1" : "0",
    WITH_NETWORK: config.withNetwork ? "1" : "0",
    ...(config.imageId === undefined ? {} : { IMAGE_ID: config.imageId }),
    ...(config.imageVersion === undefined ? {} : { IMAGE_VERSION: config.imageVersion }),
  };
}
