// Package transport is the service's face on the network: the REST calls, the WebSocket, the errors of both (over REST as
// problem+json, RFC 9457), authentication, the metrics page, and the OpenAPI and AsyncAPI documents.
//
// It decides nothing about locks. What it needs of the lock manager it declares as [Locks].
package transport
