/**
 * Programs of another release of Debian, where this machine's are too old for a test or are not there.
 * @module
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { findProgram, type SkippableContext } from "./needs.ts";
import { tryRun } from "./run.ts";

/**
 * A folder that packages of a release and what they depend on are unpacked to, from the mirror that this
 * machine's apt uses. Nothing in it is set up, there is no shell: programs run by chroot(8). It is kept in the
 * user's cache, since it takes half a minute (measured with 78 MB). Skips the test where it cannot be had.
 */
export function needDebianTree(
  context: SkippableContext,
  { release, packages }: { readonly release: string; readonly packages: readonly string[] },
): string {
  const missing = ["mmdebstrap", "apt-get"].find((program) => findProgram(program) === undefined);
  const mirror = missing === undefined ? findMirror() : undefined;
  if (mirror === undefined) {
    context.skip(`needs ${missing ?? "a mirror of Debian in apt's sources"}`);
    return "";
  }
  const key = createHash("sha256").update(packages.join(" ")).digest("hex").slice(0, 16);
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "imgtool-tests");
  const place = join(cache, `${release}-${key}`);
  if (existsSync(place)) return place;
  mkdirSync(cache, { recursive: true });
  const making = mkdtempSync(join(cache, ".making-"));
  try {
    const tree = join(making, "tree");
    const options = ["--quiet", "--variant=extract", `--include=${packages.join(",")}`];
    const made = tryRun("mmdebstrap", [...options, release, tree, mirror]);
    if (made.status !== 0)
      context.skip(`needs ${release} of ${mirror}: ${made.stderr.trim().split("\n").at(-1) ?? ""}`);
    else if (!existsSync(place)) renameSync(tree, place);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return place;
}

/** The first of Debian's own, but for security updates. */
function findMirror(): string | undefined {
  const targets = ["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Identifier: Packages"];
  return /^Debian (\S+)$/m.exec(tryRun("apt-get", targets).stdout.toString())?.[1];
}
