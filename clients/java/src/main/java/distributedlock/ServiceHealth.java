package distributedlock;

/**
 * How a node is.
 *
 * @param status {@code ok} or {@code degraded}
 * @param redis how the Redis behind it is
 * @param version the node's version
 * @param uptime for how long it runs, in seconds
 */
public record ServiceHealth(String status, Redis redis, String version, double uptime) {
    /**
     * How a Redis is.
     *
     * @param mode {@code standalone}, {@code sentinel} or {@code cluster}
     * @param latencyMs how long it takes to answer, in milliseconds
     * @param role {@code master} or another
     */
    public record Redis(String mode, double latencyMs, String role) {}
}
