# lockd, static, alone in its image, not as root.
#
#   docker build --build-arg VERSION=1.0.0 -t lockd .

FROM golang:1.26 AS build
WORKDIR /src
# The modules first: they change less often than the code.
COPY go.mod go.sum ./
COPY clients/go/go.mod clients/go/go.sum clients/go/
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /lockd ./service/cmd/lockd

FROM scratch
# For TLS to a Redis whose certificate a public authority signed.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /lockd /lockd
USER 65532:65532
EXPOSE 5000
# lockd asks itself: there is no shell and no curl in here.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 CMD ["/lockd", "-healthcheck"]
ENTRYPOINT ["/lockd"]
