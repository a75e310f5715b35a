/** Client of the distributed lock service. */
module distributedlock {
    requires java.net.http;
    requires com.google.gson;

    exports distributedlock;

    opens distributedlock to
            com.google.gson;
}
