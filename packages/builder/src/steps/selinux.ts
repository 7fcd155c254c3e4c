/**
 * SELinuxRelabel=: gives every file the label that the image's policy has for it, as setfiles(8) writes it;
 * the image then need not do so when it first boots.
 * @module
 */
import { readdir } from "node:fs/promises";
import type { BuildContext } from "../context.ts";
import { ConfigError, EnvironmentError, errorMessage, ProcessError } from "@imgtool/core";
import { findTool, pathExists, runTool } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { readTreeFile } from "../tree-file.ts";

interface Policy {
  readonly name: string;
  /** Paths on this machine. */
  readonly contexts: string;
  readonly binary: string;
}

/**
 * Labels the tree where it has a policy, or must have one.
 * @throws ConfigError `selinux-policy-missing`, EnvironmentError `tool-missing` or `label-failed` with
 *   SELinuxRelabel=yes; with auto what cannot be done is said and left
 */
export async function relabelTree({ tree, config, progress, signal }: BuildContext): Promise<void> {
  const { selinuxRelabel } = config;
  if (selinuxRelabel === "disabled") return;
  const policy = await findPolicy(tree);
  if (typeof policy === "string") {
    if (selinuxRelabel === "auto") return;
    throw new ConfigError(`SELinuxRelabel=yes, and ${policy}`, {
      code: "selinux-policy-missing",
      hint: "add the policy to Packages= (Debian: selinux-policy-default, Fedora: selinux-policy-targeted)",
    });
  }
  if (selinuxRelabel === "auto" && (await findTool("setfiles")) === undefined) {
    progress.log(
      "warning",
      "the image has an SELinux policy, and this machine no setfiles: its files get their labels at the first boot",
      "apt-get install policycoreutils",
    );
    return;
  }
  using task = progress.start({ label: "label files for SELinux" });
  task.detail(policy.name);
  try {
    // -m: mounts below the tree do not count; -F: whole labels, not their type alone; -c: labels must be
    // of the policy.
    const args = ["-m", "-F", "-r", tree, "-T", "0", "-c", policy.binary, policy.contexts, tree];
    await runTool("setfiles", args, { signal });
  } catch (error) {
    if (!(error instanceof ProcessError)) throw error;
    const failure = new EnvironmentError(`setfiles cannot label the image: ${errorMessage(error)}`, {
      code: "label-failed",
      hint: "labels need root outside of a user namespace; SELinuxRelabel=no leaves them to the first boot",
      data: { policy: policy.name },
      cause: error,
    });
    if (selinuxRelabel === "enabled") throw failure;
    progress.log("warning", failure.message, failure.hint);
    return;
  }
  task.done(policy.name);
}

/** The policy that the image's configuration names, or what is missing of it. */
async function findPolicy(tree: string): Promise<Policy | string> {
  const text = await readTreeFile(tree, "etc/selinux/config");
  if (text === undefined) return "the image has no /etc/selinux/config";
  const name = /^\s*SELINUXTYPE=["']?([\w-]+)/m.exec(text)?.[1];
  if (name === undefined) return "its /etc/selinux/config names no policy (SELINUXTYPE=)";
  const folder = `etc/selinux/${name}`;
  const contexts = await resolveInTree(tree, `${folder}/contexts/files/file_contexts`, { followLast: true });
  if (!(await pathExists(contexts))) return `the image has no /${folder}/contexts/files/file_contexts`;
  const binaries = await resolveInTree(tree, `${folder}/policy`, { followLast: true });
  const versions = (await pathExists(binaries)) ? await readdir(binaries) : [];
  // Named after the version of its form.
  const [newest] = versions
    .filter((file) => /^policy\.\d+$/.test(file))
    .sort((a, b) => Number(b.slice("policy.".length)) - Number(a.slice("policy.".length)));
  if (newest === undefined) return `the image has no /${folder}/policy/policy.*`;
  return { name, contexts, binary: await resolveInTree(tree, `${folder}/policy/${newest}`, { followLast: true }) };
}
