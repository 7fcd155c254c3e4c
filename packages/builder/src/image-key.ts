/**
 * What an image is called beside others of its project, and of other projects with the same cache.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";

/** The same for all versions of an image. Sub-images take ImageId= from the project, and need their own names, too. */
export function imageKey({ imageId, output, subImage }: ImageConfig): string {
  if (imageId === undefined) return output;
  return subImage === undefined ? imageId : `${imageId}~${subImage}`;
}
