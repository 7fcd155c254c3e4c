/**
 * Locations of stores in S3 buckets, at Amazon's or where the environment says.
 * @module
 */
import { type BucketPlace, parseBucketLocation } from "./bucket-location.ts";

/**
 * @param endpoint where s3:// buckets are, instead of at Amazon's
 * @throws ConfigError `url-invalid`; `credentials-in-url`
 */
export function parseS3Location(location: string, region: string, endpoint?: string): BucketPlace {
  return parseBucketLocation(location, {
    scheme: "s3",
    url: (bucket) => amazons(bucket, region, endpoint),
    variables: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
  });
}

/** A name with dots does not fit the certificate of the buckets' own hosts. */
function amazons(bucket: string, region: string, endpoint: string | undefined): string {
  if (endpoint !== undefined && endpoint !== "") return `${endpoint.replace(/\/$/, "")}/${bucket}`;
  const host = `s3.${region}.amazonaws.com`;
  return bucket.includes(".") ? `https://${host}/${bucket}` : `https://${bucket}.${host}`;
}
