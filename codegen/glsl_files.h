/* The GLSL templates of codegen/glsl/, embedded at build time (cmake/embed.cmake). */
#ifndef DLVK_CODEGEN_GLSL_FILES_H
#define DLVK_CODEGEN_GLSL_FILES_H

typedef struct GlslFile {
    const char *name; /* "prelude_math.glsl" */
    const char *text;
} GlslFile;
extern const GlslFile glsl_files[];
extern const int glsl_file_count;

#endif
