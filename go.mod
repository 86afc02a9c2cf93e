module github.com/seed-744e3d1b/tapedeck

go 1.26

require github.com/go-json-experiment/json v1.27.2
