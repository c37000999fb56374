package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func serve(t *testing.T, handler http.HandlerFunc) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

func specFor(port int) Spec {
	return Spec{Port: port, Head: "GET / HTTP/1.1\r\nHost: localhost\r\n", Connections: 4, Seconds: 0.3,
		Status: 200, Block: "ab", BodyBytes: 4}
}

func outcome(t *testing.T, spec Spec) Result {
	t.Helper()
	result, err := run(spec)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRightAnswersCount(t *testing.T) {
	result := outcome(t, specFor(serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "abab") })))
	if result.Requests == 0 || len(result.Errors) != 0 || result.Bytes != int64(4*result.Requests) {
		t.Fatalf("%+v", result)
	}
}

func TestChunkedAnswersAreReadToTheirEnd(t *testing.T) {
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "aba")
		w.(http.Flusher).Flush()
		fmt.Fprint(w, "b")
	})
	if result := outcome(t, specFor(port)); result.Requests == 0 || len(result.Errors) != 0 {
		t.Fatalf("%+v", result)
	}
}

func TestAnotherBodyIsAnError(t *testing.T) {
	for _, body := range []string{"abba", "aba", "ababa", ""} {
		port := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
		spec := specFor(port)
		spec.Seconds = 0.05
		if result := outcome(t, spec); result.Requests != 0 || result.Errors[errBody.Error()] == 0 {
			t.Fatalf("%q: %+v", body, result)
		}
	}
}

func TestAnotherStatusIsAnError(t *testing.T) {
	port := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 401) })
	spec := specFor(port)
	spec.Seconds = 0.05
	if result := outcome(t, spec); result.Requests != 0 || result.Errors["status 401"] == 0 {
		t.Fatalf("%+v", result)
	}
}

func TestEverySessionHasItsTurn(t *testing.T) {
	seen := make(chan string, 1<<20)
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Cookie")
		fmt.Fprint(w, "abab")
	})
	spec := specFor(port)
	spec.Cookies = []string{"s=1", "s=2", "s=3"}
	outcome(t, spec)
	close(seen)
	counts := map[string]int{}
	for cookie := range seen {
		counts[cookie]++
	}
	for _, cookie := range spec.Cookies {
		if counts[cookie] < counts["s=1"]-1 || counts[cookie] == 0 {
			t.Fatalf("%v", counts)
		}
	}
}

// A server that stalls for 200 ms delays every request that falls due in that time. A generator
// that waits for answers before it asks again would see a single slow one.
func TestAStallIsSeenByAllThatWereDue(t *testing.T) {
	begun := time.Now()
	var stalled bool
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !stalled && time.Since(begun) > 100*time.Millisecond {
			stalled = true
			time.Sleep(200 * time.Millisecond)
		}
		fmt.Fprint(w, "abab")
	})
	spec := specFor(port)
	spec.Connections, spec.Rate, spec.Seconds = 1, 500, 0.8
	result := outcome(t, spec)
	if result.Unanswered != 0 || len(result.Errors) != 0 || result.Requests < 390 {
		t.Fatalf("%+v", result)
	}
	// A quarter of all was due within the stall; half of those waited 100 ms or longer.
	if result.P99 < 150_000 || result.P50 > 100_000 {
		t.Fatalf("%+v", result)
	}
}

func TestAnAnswerInPiecesIsOneAnswer(t *testing.T) {
	text := "HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 4\r\n\r\nabab"
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\naba\r\n1;x=y\r\nb\r\n0\r\n\r\n"
	for _, whole := range []string{text, chunked} {
		for cut := 1; cut < len(whole); cut++ {
			a := Answer{expected: body{[]byte("ab"), 4}}
			first, err := a.feed([]byte(whole[:cut]))
			if first || err != nil {
				t.Fatalf("%q ended early: %v %v", whole[:cut], first, err)
			}
			if done, err := a.feed([]byte(whole[cut:])); !done || err != nil {
				t.Fatalf("cut at %d of %q: %v %v", cut, whole, done, err)
			}
		}
		a := Answer{expected: body{[]byte("ab"), 4}}
		for i := range whole {
			done, err := a.feed([]byte(whole[i : i+1]))
			if err != nil || done != (i == len(whole)-1) {
				t.Fatalf("octet %d of %q: %v %v", i, whole, done, err)
			}
		}
	}
}

func TestOctetsAfterAnAnswerAreAnError(t *testing.T) {
	a := Answer{}
	_, err := a.feed([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc"))
	if err != errMore {
		t.Fatal(err)
	}
}

func TestOnlyATokenOfTheRightShapeOpensTheAPI(t *testing.T) {
	long := "eyJ" + strings.Repeat("a", 500) + "." + strings.Repeat("b", 300) + "." + strings.Repeat("c", 300)
	for token, want := range map[string]bool{
		long: true, "": false, "eyJa.b.c": false, long[1:]: false, strings.ReplaceAll(long, ".", "-"): false,
	} {
		if isToken([]byte(token)) != want {
			t.Fatalf("%.20q...: not %v", token, want)
		}
	}
}

func TestEveryRequestHasANumberOfItsOwn(t *testing.T) {
	for _, where := range []string{"field", "target"} {
		var lock sync.Mutex
		seen := map[string]bool{}
		repeated := 0
		port := serve(t, func(w http.ResponseWriter, r *http.Request) {
			lock.Lock()
			defer lock.Unlock()
			key := r.Header.Get("X-Number") + r.URL.Path
			if seen[key] || len(key) < len(zeros) {
				repeated++
			}
			seen[key] = true
			fmt.Fprint(w, "abab")
		})
		spec := specFor(port)
		spec.Numbered, spec.Seconds = where, 0.1
		spec.Cookies = []string{"a=" + zeros, "b=" + zeros}
		if result := outcome(t, spec); result.Requests == 0 || repeated > 0 || len(result.Errors) != 0 {
			t.Fatalf("%s: %d repeated, %+v", where, repeated, result)
		}
	}
}
