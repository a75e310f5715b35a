package distributedlock;

import java.util.List;

/** Something about the call is not allowed ({@code invalid_argument}). Nothing was done. */
public final class InvalidArgumentException extends LockException {
    private static final long serialVersionUID = 1L;

    InvalidArgumentException(Problem problem, Throwable cause) {
        super(problem, cause);
    }

    /**
     * All that is wrong.
     *
     * @return the fields, each with what is wrong about it
     */
    public List<FieldError> getFields() {
        return problem().fields();
    }
}
