/**
 * `sftp://[user@]host[:port]/path`: files of another machine, through its sftp server. `/~/path` begins in
 * the user's home.
 * @module
 */
import { parseSshLocation, type SshLocation } from "../remote/ssh-location.ts";

export function isSftpLocation(location: string): boolean {
  return /^sftp:\/\//i.test(location);
}

/** @throws ConfigError `ssh-location-invalid`: the rules are those of ssh:// locations */
export function parseSftpLocation(location: string): SshLocation {
  return parseSshLocation(location.replace(/^sftp:/i, "ssh:"));
}
