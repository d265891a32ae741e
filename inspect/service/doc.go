// Package service answers inspections over HTTP: an [http.Handler] around one or more
// products, to be mounted in any server.
//
//	h, err := service.New(service.DefaultConfig(), gears, springs) // two *inspect.Inspector
//	if err != nil {
//		return err
//	}
//	mux.Handle("/inspection/", http.StripPrefix("/inspection", h))
//
// # Routes
//
//	POST /inspect            verdict about an image, where there is one product
//	POST /inspect/{product}  the same for a product by name
//	POST /feedback/{product} what an operator says about a part, where there is a [Journal]
//	GET  /info               products, bundles in force, counters, drift
//	GET  /healthz            the process answers
//	GET  /readyz             requests are welcome; 503 after [Handler.Drain]
//	GET  /openapi.json       this list for programs, OpenAPI 3
//	GET  /                   a page to try images on
//
// An image comes as the body or as the field "image" of a form (multipart/form-data). It
// is decoded as [dataset.Decoder] does it, so that a detector meets the pixels that it was
// fitted on. The answer is an [Answer] in JSON. With ?map=png, or Accept: image/png, it is
// the heat map over the image, and the decision is in the headers; with ?map=base64 the
// JSON holds the map too.
//
// # Limits
//
// Bytes, pixels and time of a request are bounded, and so is the memory of all images in
// work ([Config]). Pixels are counted in the file's header, before they take memory. What
// does not fit at the moment is answered with 503 and Retry-After.
//
// # Errors
//
// All errors are a [Problem] in JSON: a code for programs, a sentence for people, and the
// request's id. docs/service.md lists the codes.
package service
