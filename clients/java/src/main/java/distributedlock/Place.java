package distributedlock;

import java.util.List;

/**
 * Where a request stands in line.
 *
 * @param position the place, from 1
 * @param holders up to 100 of those in the way, as told when the request was queued
 */
public record Place(int position, List<Holder> holders) {}
