// Memory as vectors of words: a buffer reference of any type, aligned to them, converts to these.
//# Words1
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words1 { uint d[]; };

//# Words2
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Words2 { uvec2 d[]; };

//# Words4
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words4 { uvec4 d[]; };

//# Words1W
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Words1W { uint d[]; };

//# Words2W
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Words2W { uvec2 d[]; };

//# Words4W
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Words4W { uvec4 d[]; };
