package distributedlock;

/**
 * One thing wrong with a request.
 *
 * @param field the field's name
 * @param detail what is wrong about it
 */
public record FieldError(String field, String detail) {}
