/**
 * `imgtool lock`: writes the exact packages of the images to imgtool.lock, which builds then keep to.
 * @module
 */
import type { LockedImage } from "@imgtool/builder";
import type { Command } from "commander";
import { becomeRootIfPossible } from "../become-root.ts";
import { projectCommand, requireProject } from "../project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = projectCommand(
    "lock",
    "Write the exact packages of the images to imgtool.lock: builds take no others.",
  );
  return project.command.action(() =>
    runVerb(project.command, async ({ reporter, signal }) => {
      await becomeRootIfPossible();
      const { config, images } = await requireProject(project, reporter, signal);
      const builder = await import("@imgtool/builder");
      const options = { progress: reporter, signal };
      const lockable = images.map((image) => image.config).filter(({ distribution }) => distribution !== "custom");
      await builder.checkLockable(lockable);
      const tools = await builder.lockToolsTree(config, options);
      // A tools tree is lockable whatever the images are made of.
      if (lockable.length === 0 && tools === undefined) lockable.push(config);
      const lockImages = async (): Promise<LockedImage[]> => {
        const made: LockedImage[] = [];
        for (const image of lockable) made.push(await builder.lock(image, options));
        return made;
      };
      // The programs that choose packages for a build.
      const locked = lockable.length === 0 ? [] : await builder.withSurroundings(config, options, lockImages);
      const count = (of: (image: LockedImage) => readonly unknown[]): number =>
        locked.reduce((sum, image) => sum + of(image).length, 0);
      const counts = {
        packages: count(({ packages }) => packages),
        build: count(({ build }) => build),
        volatile: count(({ volatile }) => volatile),
        initrd: count(({ initrd }) => initrd),
        tools: tools?.packages.length ?? 0,
      };
      const file = builder.lockPath(config);
      const more = [
        [counts.build, "of the build"],
        [counts.volatile, "volatile ones"],
        [counts.initrd, "of the initrd"],
        [counts.tools, "of the tools tree"],
      ] as const;
      const others = more.flatMap(([number, what]) => (number === 0 ? [] : [`, ${number} ${what}`])).join("");
      reporter.result({ file, ...counts }, `${file}: ${counts.packages} packages${others}`);
    }),
  );
}
