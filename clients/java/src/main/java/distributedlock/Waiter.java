package distributedlock;

/**
 * Who waits in line for a lock.
 *
 * @param position the place, from 1
 * @param clientId the client
 * @param ownerId the owner: a thread, task or job of that client
 * @param waiting for how long so far, in seconds
 */
public record Waiter(int position, String clientId, String ownerId, double waiting) {}
