/**
 * Projects of the first mkosi, which have mkosi.default or mkosi.default.d/ and no mkosi.conf.
 * @module
 */
import type { ConfigFiles } from "./files.ts";

/** Whether the directory is configured as the first mkosi had it. */
export function isFirstProject(files: ConfigFiles, directory: string): boolean {
  return (
    files.status(`${directory}/mkosi.conf`) === undefined &&
    (files.status(`${directory}/mkosi.default`)?.kind === "file" ||
      files.status(`${directory}/mkosi.default.d`)?.kind === "directory")
  );
}

/** The directory of the project's configuration: itself, or the folder mkosi in it. */
export function configurationRoot(files: ConfigFiles, directory: string): string {
  const has = (folder: string): boolean =>
    files.status(`${folder}/mkosi.conf`)?.kind === "file" || isFirstProject(files, folder);
  return !has(directory) && has(`${directory}/mkosi`) ? `${directory}/mkosi` : directory;
}
